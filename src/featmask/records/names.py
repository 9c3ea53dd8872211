"""What figures and attacks are called on a page."""

from __future__ import annotations

TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "ece": "Calibration error",
    "brier": "Brier score",
    "nll": "Negative log-likelihood",
    "ood_auroc": "Other data told apart (AUROC)",
    "median_eps": "Median smallest eps",
    "unflipped": "Never flipped",
    "corrupted": "Corrupted, mean",
}
#: In the order in which they are shown.
ATTACKS = {
    "clean": "Not attacked",
    "uniform": "Uniform noise",
    "gaussian": "Gaussian noise",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "ifgsm": "I-FGSM",
    "mifgsm": "MI-FGSM",
    "apgd": "APGD",
    "square": "Square",
    "autoattack": "AutoAttack",
    "erasing": "Random square hidden",
    "occlusion": "Worst square hidden",
    "patch": "Adversarial patch",
    "sma": "SMA",
    "fna": "FNA",
    "odfa": "ODFA",
    "lta": "LTA",
    "misranking": "Mis-Ranking",
    "worst": "Worst case",
}
#: What stands behind an attack's name, one after the other: its loss, its targets, its norm, what a square holds.
PARTS = {
    "margin": "margin",
    "dlr": "DLR",
    "ce": "cross-entropy",
    "t": "targeted",
    "mean": "mean colour",
    "rand": "rand",
}
NORMS = {"l2": "L2", "l1": "L1"}
#: Worst cases of suites that are not of one norm's gradients.
WORST = {
    "autoattack": "AutoAttack, worst case",
    "blackbox": "Black-box worst case",
    "transfer": "Transferred worst case",
}
#: The fifteen of Hendrycks and Dietterich 2019 in their groups.
CORRUPTIONS = {
    "Noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "Blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "Weather": ("snow", "frost", "fog", "brightness"),
    "Digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}

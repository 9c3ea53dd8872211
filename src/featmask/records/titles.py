"""Words shown to people: titles of figures, attacks, corruptions and suites, and the order of attacks."""

from __future__ import annotations

from .names import WORST, Kind, Name

FIGURES = {
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
#: Of both fields, in the order in which they are shown.
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
#: What may stand behind an attack's name: its loss, its targets, AutoAttack's version, what a square holds.
VARIANTS = {"margin": "margin", "dlr": "DLR", "t": "targeted", "mean": "mean colour", "rand": "rand"}
NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1"}
#: Worst cases of suites that are not of one norm's gradients.
WORST_OF = {
    "autoattack": "AutoAttack, worst case",
    "blackbox": "Black-box worst case",
    "transfer": "Transferred worst case",
}
SUITES = {
    "clean": "Not attacked",
    **NORMS,
    **WORST_OF,
    "corruptions": "Corrupted images",
    "occlusion": "Hidden squares",
    "reranked": "Re-ranked",
    "cross": "Cross-domain",
    "attack_query": "Queries attacked",
    "attack_gallery": "Gallery attacked",
}
#: Suites of attacks within a caption, the strongest first.
ATTACKING = {
    "autoattack": "AutoAttack",
    "linf": "attacks in the L-infinity norm",
    "l2": "attacks in the L2 norm",
    "l1": "attacks in the L1 norm",
    "blackbox": "black-box attacks",
    "transfer": "transferred attacks",
    "attack_query": "attacks on the query",
}


def attack_title(kind: str) -> str:
    """An attack's name for people: ``FNA (L2)``, ``APGD, DLR, targeted``; what is not known keeps its own."""
    found = Kind.parse(kind)
    if found.base not in ATTACKS:
        return kind
    variants = "".join(f", {VARIANTS.get(variant, variant)}" for variant in found.variants)
    moved = " from another model" if found.transferred else ""
    norm = f" ({NORMS[found.norm]})" if found.norm != "linf" else ""
    return ATTACKS[found.base] + variants + moved + norm


def attack_words(name: str) -> str:
    """``FNA (L2) at 0.5`` for ``fna-l2@0.5``."""
    kind, _, size, _ = Name.parse(name)
    return f"{attack_title(kind)} at {size}"


def attack_place(kind: str) -> tuple[int, int, str]:
    """Not attacked, noise, the weak ones, the strong ones, those of other models, the worst case."""
    found, order = Kind.parse(kind), list(ATTACKS)
    place = order.index(found.base if found.base in order else "misranking")
    own = str(found._replace(norm="linf", transferred=False))
    return (2 if found.base == WORST else int(found.transferred)), place, own


def corruption_title(kind: str) -> str:
    """``Gaussian noise``, ``JPEG compression``."""
    text = kind.replace("_", " ").replace("jpeg", "JPEG")
    return text[:1].upper() + text[1:]

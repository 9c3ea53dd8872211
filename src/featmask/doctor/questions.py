"""Everything that is asked, in order: what should hold, why it matters, and what to do if it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..records.doctor import Check
from .diagnosis import Group, Verdict


@dataclass(frozen=True)
class Question:
    """A check that is still to be made; its attributes are those of ``Check``."""

    name: str
    group: Group
    title: str
    why: str

    def answer(self, verdict: Verdict, figure: str, values: Mapping[str, Any] | None = None) -> Check:
        """The check with its verdict and figure."""
        return Check(self.name, self.group, self.title, verdict, figure, self.why, values or {})

    def skip(self, reason: str) -> Check:
        """The check that was not made, and why."""
        return self.answer("skipped", reason)


PIXELS = Question(
    "pixel_range", "set-up", "Pixels are in [0, 1]",
    "Eps is measured in pixels of [0, 1]; on normalised images 8/255 is another radius, and clipping to [0, 1] "
    "destroys them. Let the data give pixels and put the normalisation into the model: featmask.Normalized(model, "
    "mean, std); if every pixel is nearly black, they were divided by 255 twice.",
)  # fmt: skip
MODE = Question(
    "train_mode", "set-up", "The model came in eval mode",
    "In training mode dropout, masks and batch statistics make a model look robust or random. featmask evaluates in "
    "eval mode whatever comes, other tools do not: call model.eval(), also on submodules that you keep aside.",
)  # fmt: skip
MASKING = Question(
    "masking_off", "set-up", "Masking is off",
    "A mask that acts at test time hides gradients behind chance. Switch it off with model.eval() or "
    "featmask.detach(model); if it is meant as a defence, call it randomised, use EOT, and report it off as well.",
)  # fmt: skip
REPEATABLE = Question(
    "repeatable", "set-up", "Two passes give the same logits",
    "Against a model that is random, standard attacks and AutoAttack chase noise and report too much robustness. Find"
    " what is random (a mask, dropout, a random resize); if it is the defence itself, evaluate with "
    "allow_stochastic=True: gradients averaged over passes (EOT), outcomes over many.",
)  # fmt: skip
FINITE = Question(
    "finite", "set-up", "Logits are finite",
    "A comparison with NaN is always false: argmax and losses then mean nothing. Find the layer that overflows or "
    "divides by zero.",
)  # fmt: skip
LOGITS = Question(
    "logits", "set-up", "The outputs are logits",
    "Cross-entropy on probabilities applies softmax twice and flattens gradients until attacks stall. Return what "
    "stands before softmax or sigmoid.",
)  # fmt: skip
LABELS = Question(
    "labels", "set-up", "Labels are within the model's classes",
    "Labels count from 0 to classes - 1. A model with fewer outputs than labels is another task's, or its last layer "
    "was not replaced.",
)  # fmt: skip
ACCURACY = Question(
    "accuracy", "set-up", "Accuracy is clearly above chance",
    "A model that is wrong without an attack is not robust, and an attack on it measures nothing. The usual reasons: "
    "another order of classes, labels that count from 1, other preprocessing than in training, weights not loaded.",
)  # fmt: skip
SATURATION = Question(
    "saturation", "set-up", "Logits are not saturated",
    "Where cross-entropy rounds to 0, attacks that follow it stand still and the model only seems robust. Those of "
    "featmask follow the log-odds, which do not round to 0; with other tools use a margin or DLR loss, or divide the "
    "logits by a constant.",
)  # fmt: skip
ALONE = Question(
    "alone", "set-up", "Each sample is judged alone",
    "Where the batch is a part of the answer (batch statistics in eval mode), attacked neighbours change a sample's "
    "outcome, and figures depend on the batch size. Let norm layers use running statistics.",
)  # fmt: skip

ZERO = Question(
    "zero_gradient", "gradients", "Gradients reach the pixels",
    "Attacks can't follow a gradient that is 0 or not there: detach, no_grad, rounding, sign and hard thresholds give"
    " such, and the model only seems robust. Hand over a differentiable model, or give the layer the backward pass of"
    " a smooth one (BPDA, Athalye et al. 2018); black-box attacks alone give an upper bound.",
)  # fmt: skip
NAN = Question(
    "nan_gradient", "gradients", "Gradients are finite",
    "A gradient with NaN stops an attack or sends it anywhere. The usual reasons: sqrt or a norm at 0, log of 0, a "
    "division; add a small constant inside.",
)  # fmt: skip
SAME = Question(
    "same_gradient", "gradients", "Two passes give the same gradient",
    "A gradient that changes from pass to pass leads an attack astray. Find what is random; if it is the defence, "
    "average gradients over passes: EOT.",
)  # fmt: skip
DIFFERENCES = Question(
    "differences", "gradients", "Gradients agree with finite differences",
    "A gradient that is not the model's slope leads attacks the wrong way: a backward pass of its own (straight-"
    "through, BPDA), quantised or shattered inputs. Where it still climbs, attacks may be sound, but say what it is; "
    "where it does not, figures are worthless.",
)  # fmt: skip

EPS_ZERO = Question(
    "eps_zero", "attacks", "At eps = 0 an attack changes nothing",
    "A difference means that attacked and clean images take different ways: other batches, modes or rounding.",
)  # fmt: skip
RADIUS = Question(
    "radius", "attacks", "Accuracy falls as the radius grows",
    "A larger ball holds every image of a smaller one, so accuracy that rises with eps shows an attack that fails: "
    "gradients that lead astray, or a step size that does not fit.",
)  # fmt: skip
GREY = Question(
    "large_radius", "attacks", "At a large radius nothing survives",
    "This ball holds the same grey image for every sample, so that no model can stay right on two classes: what "
    "survives was not robust, the attack failed. Look at the gradients' checks, and try other losses.",
)  # fmt: skip
STEPS = Question(
    "steps", "attacks", "More steps change little",
    "While more steps still break samples, the figure is of the budget and not of the model: raise steps until the "
    "curve is flat, or use APGD.",
)  # fmt: skip
RESTARTS = Question(
    "restarts", "attacks", "More random starts change little",
    "If other starts find much, the loss surface is rugged, often by design: raise restarts, and look at the "
    "gradients' checks.",
)  # fmt: skip
FGSM = Question(
    "fgsm", "attacks", "PGD is at least as strong as FGSM",
    "One step that beats many is a known sign of masked gradients (Athalye et al. 2018): small steps get stuck where "
    "a jump does not. It may also be a step size that does not fit.",
)  # fmt: skip
LOSSES = Question(
    "losses", "attacks", "Other losses find little more than cross-entropy",
    "If a margin finds what cross-entropy misses, cross-entropy is masked (saturated or rescaled logits): report the "
    "worst case over losses, and do not quote the figure of one.",
)  # fmt: skip
NOISE = Question(
    "noise", "attacks", "Noise is weaker than gradients",
    "An attack that knows the model and loses to chance does not work: gradients are masked or point the wrong way.",
)  # fmt: skip
SQUARE = Question(
    "square", "attacks", "A black-box attack finds nothing that gradients missed",
    "Whoever sees the gradients can do whatever is done without them; if Square wins, gradients are masked and every "
    "white-box figure is unreliable.",
)  # fmt: skip
TRANSFER = Question(
    "transfer", "attacks", "Another model's attacks find nothing that gradients missed",
    "If examples made on another model break this one where its own gradients failed, its gradients are masked. Best "
    "is an undefended twin: the same network and data, trained without the method.",
)  # fmt: skip
UNDEFENDED = Question(
    "undefended", "attacks", "No more robust than its training explains",
    "An undefended CNN has about 0 % at 8/255 on photographs; one that stands clearly above calls for AutoAttack and "
    "an attack made for its method, and is no headline. Small grey images may withstand more.",
)  # fmt: skip

"""What attacks on retrieval and defences against them are called: for recipes, commands and what carries them out."""

from __future__ import annotations

from typing import Literal

#: Of attacks on one image at a time.
MetricKind = Literal["fgsm", "ifgsm", "mifgsm", "sma", "fna", "odfa", "lta"]
#: Of all attacks: a generator is trained for the last.
AttackKind = Literal[MetricKind, "misranking"]
#: Of adversarial training; ``goat`` maximises FNA's objective.
Defence = Literal["goat", "fna", "mifgsm", "sma", "odfa"]

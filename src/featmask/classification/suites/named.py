"""Suites by their names, and of a user's own, once the number of classes is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, cast

from ...attacks import Attack, AutoAttack, Model, Norm, Region, Transfer
from ...errors import FeatmaskError
from ...utils.radii import radius, share
from .options import Options
from .plans import BLACK_BOX, Method, Plan, warnings_of

#: Noise: so many draws.
DRAWS = 10
#: Positions an axis of hidden squares, and the steps and starts of a patch.
PATCH_STEPS, PATCH_STARTS = 20, 2
#: Classes that a targeted attack tries at most, as AutoAttack does.
TARGETS = 9
_PRESETS: dict[str, dict[str, Any]] = {
    "fgsm": {"kind": "fgsm"},
    "mifgsm": {"kind": "mifgsm"},
    "pgd": {"kind": "pgd"},
    "pgd-margin": {"kind": "pgd", "loss": "margin"},
    "apgd": {"kind": "apgd"},
    "apgd-margin": {"kind": "apgd", "loss": "margin"},
    "apgd-dlr": {"kind": "apgd", "loss": "dlr"},
    "apgd-t": {"kind": "apgd", "loss": "dlr", "targets": TARGETS},
    "square": {"kind": "square"},
    "uniform": {"kind": "uniform"},
    "gaussian": {"kind": "gaussian"},
}
PRESETS = tuple(_PRESETS)


def preset(name: str, eps: Fraction, norm: Norm, options: Options, classes: int, random: bool = False) -> Attack:
    """An attack by its name in ``Options.attacks``.

    Raises:
        FeatmaskError: an unknown name.
    """
    if name not in _PRESETS:
        raise FeatmaskError(f"unknown attack {name!r}; expected some of: {', '.join(PRESETS)}")
    keys = dict(_PRESETS[name])
    if name == "apgd-t":
        keys |= {"targets": min(TARGETS, classes - 1), "loss": "dlr" if classes > 3 else "margin"}
    steps = {"square": options.queries, "uniform": DRAWS, "gaussian": DRAWS, "fgsm": 1}.get(name, options.steps)
    restarts = options.restarts if keys["kind"] in ("pgd", "apgd") else 1
    eot = options.eot if random and keys["kind"] != "square" else 1
    return Attack(eps=eps, norm=norm, steps=steps, restarts=restarts, eot=eot, **keys)


def plan_of(
    suite: str,
    options: Options,
    classes: int,
    *,
    random: bool = False,
    black_box: bool = False,
    surrogate: Model | None = None,
) -> Plan:
    """A suite by its name, for a model with so many classes.

    Args:
        suite: one of ``SUITES`` but ``full``.
        options: radii, steps, severities.
        classes: of the model.
        random: whether its passes differ: gradients are averaged.
        black_box: whether it has no gradients: ``occlusion`` then goes without patches.
        surrogate: what ``transfer`` attacks in its place.

    Raises:
        FeatmaskError: an unknown name, or ``transfer`` without a surrogate.
    """
    if suite == "clean":
        return Plan("clean")
    if suite == "corruptions":
        from ...data import CORRUPTIONS

        return Plan("corruptions", corruptions=tuple(options.corruptions or CORRUPTIONS),
                    severities=tuple(options.severities))  # fmt: skip
    if suite == "occlusion":
        return Plan("occlusion", tuple(region for region in _regions(options) if not (black_box and region.gradients)))
    if suite == "autoattack":
        return _autoattack(options, random)
    if suite == "transfer":
        return _transfer(options, classes, surrogate)
    norms: dict[str, tuple[Norm, Sequence[str]]] = {
        "linf": ("linf", options.eps),
        "l2": ("l2", options.l2_eps),
        "l1": ("l1", options.l1_eps),
        "blackbox": ("linf", options.eps),
    }
    norm, sizes = norms[suite]
    radii = sorted(radius(size) for size in sizes)
    names = ("uniform", "gaussian", "square") if suite == "blackbox" else tuple(options.attacks)
    attacks = tuple(preset(name, eps, norm, options, classes, random) for name in names for eps in radii)
    return Plan(
        suite,
        attacks,
        smallest=None if random else _searching(attacks),
        rounds=options.refine,
        norm=norm,
        warnings=warnings_of(attacks),
    )


def own_plan(name: str, entries: Sequence[Mapping[str, Any]], corruptions: Sequence[str] = (),
             severities: Sequence[int] = (), rounds: int = 0) -> Plan:  # fmt: skip
    """A suite of a user's own; ``entries`` are keys of ``Attack``, ``Region`` or ``AutoAttack`` by their ``kind``.

    Raises:
        FeatmaskError: keys or values that the attack does not have.
    """
    attacks = tuple(method(entry) for entry in entries)
    norms = {attack.norm for attack in attacks if isinstance(attack, Attack | AutoAttack)}
    single = norms.pop() if len(norms) == 1 else None
    searching = _searching([attack for attack in attacks if isinstance(attack, Attack)]) if single else None
    return Plan(name, attacks, tuple(corruptions), tuple(severities), searching, rounds, single, warnings_of(attacks))


def method(entry: Mapping[str, Any]) -> Method:
    """One attack from plain values such as ``{"kind": "pgd", "eps": "8/255", "steps": 50}``."""
    keys = dict(entry)
    kind = keys.get("kind")
    try:
        if kind == "autoattack":
            del keys["kind"]
            return AutoAttack(**{**keys, "eps": radius(keys["eps"])})
        if "size" in keys:
            return Region(**{**keys, "size": share(keys["size"])})
        return Attack(**{**keys, "eps": radius(keys["eps"])})
    except KeyError as error:
        raise FeatmaskError(f"{kind}: expected a size ({error.args[0]}: 8/255, or size: 20% of regions)") from error
    except TypeError as error:
        raise FeatmaskError(f"{kind}: {error}") from error


def _searching(attacks: Sequence[Attack]) -> Attack | None:
    """The attack of the search: Auto-PGD where it is there, else PGD, else the first that is no noise."""
    found = [attack for attack in attacks if attack.kind not in ("uniform", "gaussian", "fgsm")]
    plain = sorted((attack for attack in found if attack.loss == "ce"), key=lambda attack: attack.kind != "apgd")
    return next(iter(plain or found), None)


def _regions(options: Options) -> list[Region]:
    kinds: tuple[dict[str, Any], ...] = (
        {"kind": "erasing"},
        {"kind": "occlusion"},
        {"kind": "patch", "steps": PATCH_STEPS, "restarts": PATCH_STARTS},
    )
    return [Region(size=share(size), **kind) for kind in kinds for size in options.squares]


def _transfer(options: Options, classes: int, surrogate: Model | None) -> Plan:
    if surrogate is None:
        raise FeatmaskError(
            "the suite transfer attacks another model: name it with --surrogate (surrogate=... in Python)"
        )
    attacks = [
        Transfer(preset(name, radius(eps), "linf", options, classes), surrogate)
        for name in ("pgd", "mifgsm")
        for eps in options.eps
    ]
    return Plan("transfer", cast(tuple[Method, ...], tuple(attacks)), norm="linf", warnings=(BLACK_BOX,))


def _autoattack(options: Options, random: bool) -> Plan:
    attacks = [AutoAttack(radius(eps), version="rand" if random else "standard") for eps in options.eps]
    return Plan("autoattack", cast(tuple[Method, ...], tuple(attacks)), norm="linf")

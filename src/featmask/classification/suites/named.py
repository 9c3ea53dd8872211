"""Suites by their names, and of a user's own, once the number of classes is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ...attacks import ATTACKS, Attack, AutoAttack, Method, Model, Norm, Region, Transfer
from ...attacks.objectives import needs_classes
from ...attacks.registry import Row, check_preset, presets
from ...errors import FeatmaskError
from ...utils.radii import radius, share
from .options import SuiteOptions
from .plans import BLACK_BOX, Plan, warnings_of

#: Presets that the suites ``blackbox`` and ``transfer`` take, and the kinds of ``occlusion``.
BLACK_BOXES = ("uniform", "gaussian", "square")
TRANSFERRED = ("pgd", "mifgsm")
REGIONS = ("erasing", "occlusion", "patch")


def preset(name: str, eps: Fraction, norm: Norm, options: SuiteOptions, classes: int, random: bool = False) -> Attack:
    """An attack by its name in ``SuiteOptions.attacks``.

    A targeted one tries the classes that there are, and takes the margin where there are too few for its loss.

    Raises:
        FeatmaskError: an unknown name, or a norm that it does not work in.
    """
    keys = presets()[check_preset(name)]
    if targets := min(keys.get("targets", 0), classes - 1):
        loss = keys["loss"] if classes >= needs_classes(keys["loss"], targeted=True) else "margin"
        keys |= {"targets": targets, "loss": loss}
    row = ATTACKS[keys["kind"]]
    found: Attack = row.spec(eps=eps, norm=norm, **{**_filled(row, options, random), **keys})
    return found


def _filled(row: Row, options: SuiteOptions, random: bool) -> dict[str, Any]:
    """What the suites' settings say of an attack's; only random models need several passes."""
    return {
        setting: getattr(options, source) if isinstance(source, str) else source
        for setting, source in row.fills.items()
        if setting != "eot" or random
    }


def plan_of(
    suite: str,
    options: SuiteOptions,
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
        kinds = [kind for kind in REGIONS if not (black_box and ATTACKS[kind].gradients)]
        return Plan("occlusion", tuple(Region(kind, share(size), **_filled(ATTACKS[kind], options, random))
                                       for kind in kinds for size in options.squares))  # fmt: skip
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
    names = BLACK_BOXES if suite == "blackbox" else tuple(options.attacks)
    attacks = tuple(preset(name, eps, norm, options, classes, random) for name in names for eps in radii)
    smallest, warnings = None if random else _searching(attacks), warnings_of(attacks)
    return Plan(suite, attacks, smallest=smallest, rounds=options.refine, norm=norm, warnings=warnings)


def own_plan(name: str, entries: Sequence[Mapping[str, Any]], corruptions: Sequence[str] = (),
             severities: Sequence[int] = (), rounds: int = 0) -> Plan:  # fmt: skip
    """A suite of a user's own; ``entries`` are a ``kind`` each, and its settings.

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
    kind = str(keys.pop("kind", None))
    row = ATTACKS.get(kind)
    if row is None or row.surrogate:
        known = ", ".join(name for name, row in ATTACKS.items() if not row.surrogate)
        raise FeatmaskError(f"kind: expected one of {known}; got {kind!r}")
    if row.size not in keys:
        raise FeatmaskError(f"{kind}: expected a size ({row.size}: {'20%' if row.size == 'size' else '8/255'})")
    keys[row.size] = (share if row.size == "size" else radius)(keys[row.size])
    if "kind" in row.keys:
        keys["kind"] = kind
    try:
        found: Method = row.spec(**keys)
    except TypeError as error:
        raise FeatmaskError(f"{kind}: {error}") from error
    return found


def _searching(attacks: Sequence[Attack]) -> Attack | None:
    """The attack of the search: Auto-PGD where it is there, else the first that goes step by step."""
    found = [attack for attack in attacks if attack.row.search is not None]
    plain = sorted((attack for attack in found if attack.loss == "ce"), key=lambda attack: attack.row.search or 0)
    return next(iter(plain or found), None)


def _transfer(options: SuiteOptions, classes: int, surrogate: Model | None) -> Plan:
    if surrogate is None:
        raise FeatmaskError(
            "the suite transfer attacks another model: name it with --surrogate (surrogate=... in Python)"
        )
    attacks = [
        Transfer(preset(name, radius(eps), "linf", options, classes), surrogate)
        for name in TRANSFERRED
        for eps in options.eps
    ]
    return Plan("transfer", tuple(attacks), norm="linf", warnings=(BLACK_BOX,))


def _autoattack(options: SuiteOptions, random: bool) -> Plan:
    attacks = [AutoAttack(radius(eps), version="rand" if random else "standard") for eps in options.eps]
    return Plan("autoattack", tuple(attacks), norm="linf")

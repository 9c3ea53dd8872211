"""Attach a layer to every torchvision classifier and to one small member of every timm family; write a table.

    python benchmarks/coverage.py            # writes docs/coverage.md

For each model: attach a counting layer at "stem", compare the eval output with that of the model before, bit for
bit, run one forward in train mode, count the calls, detach. Weights are random, nothing is downloaded. Models above
the limit run on the meta device: there are shapes and calls, but no values to compare.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from featmask.errors import FeatmaskError, FeatmaskWarning
from featmask.insert import attach, attached, detach
from featmask.utils.files import write_text

LIMIT = 100_000_000
OUT = Path(__file__).parents[1] / "docs" / "coverage.md"
#: Words in a model's name, small before large; a guess that saves building every member of a family.
_SMALL = [
    "zepto",
    "atto",
    "femto",
    "pico",
    "nano",
    "xxs",
    "xxt",
    "xs",
    "xt",
    "xtiny",
    "tiny",
    "mini",
    "small",
    "050",
    "lite",
]
_LARGE = ["base", "medium", "large", "huge", "giant", "enormous", "gigantic", "so400m", "384", "448", "512"]


class Counting(nn.Module):
    """Counts its calls; zeroes the top half of every map in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.masked = 0

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W, as it came in eval mode."""
        self.calls += 1
        if not self.training:
            return x
        self.masked += 1
        keep = torch.arange(x.shape[2], device=x.device) >= x.shape[2] // 2
        return x * keep[None, None, :, None].to(x.dtype)


@dataclass(frozen=True)
class Row:
    """What happened with one model; ``outcome`` is "ok", "patch embedding", "no convolution" or what went wrong.

    ``meta`` marks a model that ran on the meta device.
    """

    library: str
    family: str
    model: str
    outcome: str
    point: str = ""
    channels: str = ""
    stride: str = ""
    branches: str = ""
    meta: bool = False

    @property
    def attached(self) -> bool:
        """A layer was put in and did what it should."""
        return self.outcome in ("ok", "patch embedding")


def cover(
    library: str,
    family: str,
    name: str,
    build: Callable[[], nn.Module],
    size: tuple[int, ...] | None = None,
    *,
    meta: bool = False,
) -> Row:
    """Attach, run, compare, detach. ``size`` is C x H x W of the input, by default the model's own."""
    layer = Counting()
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = _on_meta(build) if meta else build()
            x = torch.rand(2, *(size or _input_size(model)), device="meta" if meta else "cpu")
            keys = list(model.state_dict())
            before = model.eval()(x)
            point = attach(model, layer, "stem", example=x[:1]).points[0]
            layer.calls = 0
            after = model(x)
            eval_calls = layer.calls
            model.train()(x)
        except FeatmaskError as error:
            outcome = "no convolution" if "no nn.Conv2d ran" in str(error) else f"refused: {error}".splitlines()[0]
            return Row(library, family, name, outcome, meta=meta)
        except Exception as error:  # the model's own: keep walking
            outcome = f"failed: {type(error).__name__}: {error}".splitlines()[0][:200]
            return Row(library, family, name, outcome, meta=meta)
    told = [str(one.message) for one in caught if issubclass(one.category, FeatmaskWarning)]
    faults = [
        "" if _equal(before, after) else "eval output changed",
        "" if eval_calls == 1 else f"{eval_calls} calls in an eval forward",
        "" if layer.masked == 1 else f"{layer.masked} calls in a train forward",
        "" if list(model.state_dict()) == keys else "keys changed",
        "" if detach(model) == 1 and not attached(model) else "not removed",
        *(text for text in told if "patch embedding" not in text),
    ]
    outcome = "; ".join(fault for fault in faults if fault) or ("patch embedding" if told else "ok")
    match = re.search(r"(\d+) branches", point.note)
    branches = match[1] if match else ""
    place = (point.name, str(point.channels), str(point.stride), branches)
    return Row(library, family, name, outcome, *place, meta=meta)


def torchvision_models() -> Iterator[tuple[str, str, Callable[[], nn.Module], float]]:
    """(family, name, how to build it, number of parameters) of every classifier."""
    for name in torchvision.models.list_models(module=torchvision.models):
        builder = torchvision.models.get_model_builder(name)
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}

        def build(name: str = name, extra: dict[str, Any] = extra) -> nn.Module:
            return torchvision.models.get_model(name, weights=None, **extra)

        # from the description of the published weights: not every model can be built on the meta device
        parameters = next(iter(torchvision.models.get_model_weights(name))).meta["num_params"]
        yield builder.__module__.rpartition(".")[2], name, build, parameters


def timm_models() -> Iterator[tuple[str, str, Callable[[], nn.Module], float]]:
    """(family, name, how to build it, number of parameters) of a small member of each ``timm.models`` module."""
    families: dict[str, list[str]] = defaultdict(list)
    for name in timm.list_models():
        families[timm.model_entrypoint(name).__module__.rpartition(".")[2]].append(name)
    for family, names in sorted(families.items()):
        # timm's test_ models are toys of a hundred thousand weights
        members = [name for name in names if not name.startswith("test_")] or names
        likely = {name: _parameters(name) for name in sorted(members, key=_likely_size)[:4]}
        best = min(likely, key=lambda name: likely[name] or float("inf"))
        yield family, best, lambda best=best: timm.create_model(best, pretrained=False), likely[best]


def walk(limit: int = LIMIT, say: Callable[[str], None] = lambda text: None) -> list[Row]:
    """All rows, torchvision first; models with more parameters than ``limit`` on the meta device."""
    rows = []
    for library, models in (("torchvision", torchvision_models()), ("timm", timm_models())):
        for family, name, build, parameters in models:
            rows.append(cover(library, family, name, build, meta=parameters > limit))
            say(f"{name}: {rows[-1].outcome}")
    return rows


def document(rows: Iterable[Row], limit: int = LIMIT) -> str:
    """The Markdown page."""
    rows = list(rows)
    lines = [
        "# Which models a layer can be attached to",
        "",
        "Written by `python benchmarks/coverage.py` with "
        f"torch {_version(torch)}, torchvision {_version(torchvision)}, timm {_version(timm)}.",
        "",
        'Each model had a counting layer attached at `"stem"`. "ok" means: the eval output is bit-identical to that of',
        "the model before, the layer ran exactly once in an eval and once in a train forward, the keys of the",
        "`state_dict` did not change, and detaching left nothing behind.",
        "",
    ]
    for library in ("torchvision", "timm"):
        mine = [row for row in rows if row.library == library]
        families = sorted({row.family for row in mine})
        good = [family for family in families if all(row.attached for row in mine if row.family == family)]
        count = Counter(row.outcome for row in mine)
        lines.append(
            f"- **{library}**: {sum(row.attached for row in mine)} of {len(mine)} models, "
            f"{len(good)} of {len(families)} "
            f"families ({count['ok']} at a shallow convolution, {count['patch embedding']} at a patch embedding, with "
            "a warning)" + ("" if library == "torchvision" else "; one small member per `timm.models` module") + "."
        )
    large = [row.model for row in rows if row.meta]
    above = f"above {limit / 1e6:.0f} million parameters"
    if large:
        lines.append(f"- On the meta device (place and number of calls, no values), {above}: {', '.join(large)}.")
    failed = [row for row in rows if not row.attached]
    lines += ["", "Not attached:" if failed else "Nothing failed."]
    lines += [f"- {row.library} {row.model}: {row.outcome}" for row in failed]
    header = ["library", "family", "model", "outcome", "point", "channels", "stride", "branches"]
    lines += ["", f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]
    for row in rows:
        cells = [str(getattr(row, key)).replace("|", "\\|") for key in header]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _input_size(model: nn.Module) -> tuple[int, ...]:
    config = getattr(model, "pretrained_cfg", None)
    if config:
        return tuple(config["input_size"])
    side = 299 if type(model).__name__ == "Inception3" else 224  # its auxiliary head needs 299 in train mode
    return 3, side, side


def _on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with contextlib.suppress(NotImplementedError), torch.device("meta"):
        return build()
    return build().to("meta")  # it computes its widths with tensors


def _likely_size(name: str) -> tuple[float, list[int], str]:
    words = re.split(r"[_\W]+", name)
    small = min((index for index, word in enumerate(_SMALL) if word in words), default=len(_SMALL))
    large = max((index + 1 for index, word in enumerate(_LARGE) if word in words), default=0)
    return small + 10 * large, [int(number) for number in re.findall(r"\d+", name)], name


def _parameters(name: str) -> float:
    """Their number; 0 where the meta device cannot build the model."""
    with contextlib.suppress(Exception), torch.device("meta"):
        return sum(parameter.numel() for parameter in timm.create_model(name, pretrained=False).parameters())
    return 0


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and one.is_meta:
        return one.shape == other.shape
    if isinstance(one, Tensor):
        return torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(_equal(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def _version(library: Any) -> str:
    return str(library.__version__).partition("+")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="the page to write")
    parser.add_argument("--limit", type=int, default=LIMIT, help="more parameters than this: meta device")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    rows = walk(options.limit, lambda text: print(f"{time.perf_counter() - start:6.1f} s  {text}", flush=True))
    write_text(options.out, document(rows, options.limit))
    print(f"{options.out}: {sum(row.attached for row in rows)} of {len(rows)} models", file=sys.stderr)


if __name__ == "__main__":
    main()

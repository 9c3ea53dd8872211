"""Attaching at the stem over the breadth of torchvision and timm: right place, one call, eval untouched."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from featmask.errors import FeatmaskError
from featmask.insert import attach

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")


def _benchmark() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


coverage = _benchmark()

# name, size of the square input, and from the model's own code: the point, its channels, its stride
TORCHVISION = [
    ("alexnet", 64, "features.0", 64, 4),
    ("convnext_tiny", 32, "features.0.0", 96, 4),
    ("densenet121", 32, "features.conv0", 64, 2),
    ("efficientnet_b0", 32, "features.0.0", 32, 2),
    ("googlenet", 64, "conv1.conv", 64, 2),
    ("mnasnet0_5", 32, "layers.0", 16, 2),
    ("mobilenet_v2", 32, "features.0.0", 32, 2),
    ("mobilenet_v3_small", 32, "features.0.0", 16, 2),
    ("regnet_x_400mf", 32, "stem.0", 32, 2),
    ("resnet18", 32, "conv1", 64, 2),
    ("resnext50_32x4d", 32, "conv1", 64, 2),
    ("shufflenet_v2_x0_5", 32, "conv1.0", 24, 2),
    ("squeezenet1_1", 32, "features.0", 64, 2),
    ("swin_t", 64, "features.0.0", 96, 4),
]
TIMM = [
    ("bat_resnext26ts", 256, "stem.conv1.conv", 24, 2),
    ("convnext_atto", 32, "stem.0", 40, 4),
    ("cs3darknet_focus_s", 32, "stem.conv1.conv", 32, 2),
    ("darknet17", 32, "stem.conv1.conv", 32, 1),
    ("dla46_c", 32, "base_layer.0", 16, 1),
    ("dpn48b", 32, "features.conv1_1.conv", 10, 2),
    ("edgenext_xx_small", 32, "stem.0", 24, 4),
    ("efficientvit_b0", 32, "stem.in_conv.conv", 8, 2),
    ("efficientvit_m0", 224, "patch_embed.conv1.conv", 8, 2),
    ("fastvit_t8", 64, "stem.0", 48, 2),
    ("ghostnet_050", 32, "conv_stem", 8, 2),
    ("hgnetv2_b0", 32, "stem.stem1.conv", 16, 2),
    ("hrnet_w18_small", 32, "conv1", 64, 2),
    ("inception_next_atto", 32, "stem.0", 40, 4),
    ("lcnet_035", 32, "conv_stem", 8, 2),
    ("mobilenetv3_small_050", 32, "conv_stem", 16, 2),
    ("mobileone_s0", 32, "stem", 48, 2),
    ("mobilevit_xxs", 64, "stem.conv", 16, 2),
    ("nf_resnet26", 32, "stem.conv", 64, 2),
    ("pvt_v2_b0", 32, "patch_embed.proj", 32, 4),
    ("regnetx_002", 32, "stem.conv", 32, 2),
    ("repghostnet_050", 32, "conv_stem", 8, 2),
    ("repvgg_a0", 32, "stem", 48, 2),
    ("repvit_m0_9", 32, "stem.conv1.c", 24, 2),
    ("resnest14d", 32, "conv1.0", 32, 2),
    ("resnetv2_18", 32, "stem.conv", 64, 2),
    ("rexnet_100", 32, "stem.conv", 32, 2),
    ("selecsls42", 64, "stem.0", 32, 2),
    ("skresnet18", 32, "conv1", 64, 2),
    ("starnet_s1", 32, "stem.0.conv", 32, 2),
    ("tf_efficientnet_lite0", 32, "conv_stem", 32, 2),
    ("tiny_vit_5m_224", 224, "patch_embed.conv1.conv", 32, 2),
    ("tresnet_m", 64, "body.conv1.conv", 64, 4),
    ("visformer_tiny", 224, "stem.0", 16, 2),
    ("xcit_nano_12_p16_224", 64, "patch_embed.proj.0.0", 16, 2),
]
PATCHES = [
    ("convmixer_768_32", 64, "stem.0", 768, 7),
    ("deit_tiny_patch16_224", 224, "patch_embed.proj", 192, 16),
    ("gmixer_12_224", 224, "stem.proj", 384, 16),
    ("vit_tiny_patch16_224", 224, "patch_embed.proj", 192, 16),
]
BRANCHES = {"fastvit_t8": "2", "mobileone_s0": "2", "repvgg_a0": "2"}


def _check(row: Any, outcome: str, point: str, channels: int, stride: int) -> None:
    found = (row.outcome, row.point, row.channels, row.stride, row.branches)
    assert found == (outcome, point, str(channels), str(stride), BRANCHES.get(row.model, ""))


@pytest.mark.parametrize(("name", "size", "point", "channels", "stride"), TORCHVISION)
def test_torchvision(name: str, size: int, point: str, channels: int, stride: int) -> None:
    extra = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    row = coverage.cover(
        "torchvision", name, name, lambda: torchvision.models.get_model(name, weights=None, **extra), (3, size, size)
    )
    _check(row, "ok", point, channels, stride)


@pytest.mark.parametrize(("name", "size", "point", "channels", "stride"), [*TIMM, *PATCHES])
def test_timm(name: str, size: int, point: str, channels: int, stride: int) -> None:
    row = coverage.cover("timm", name, name, lambda: timm.create_model(name, pretrained=False), (3, size, size))
    _check(row, "patch embedding" if name in {patch[0] for patch in PATCHES} else "ok", point, channels, stride)


@pytest.mark.parametrize("layout", ["torchvision swin", "timm swin", "timm vit"])
def test_places_without_maps_are_refused(layout: str) -> None:
    model, at, message = {
        "torchvision swin": (torchvision.models.swin_t(weights=None), "features.1", "channels last"),
        "timm swin": (timm.create_model("swin_tiny_patch4_window7_224"), "layers.0", "channels last"),
        "timm vit": (timm.create_model("vit_tiny_patch16_224"), "blocks.0", "sequence of tokens"),
    }[layout]
    with pytest.raises(FeatmaskError, match=message):
        attach(model, torch.nn.Dropout2d(), at)


def test_a_layer_that_leaks_into_eval_or_runs_twice_would_be_reported() -> None:
    """The checks themselves can fail."""

    class Leaking(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = self.masked = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 2
            self.masked += 2
            return x * 2

    kept, coverage.Counting = coverage.Counting, Leaking
    try:
        row = coverage.cover("t", "resnet", "resnet18", torchvision.models.resnet18, (3, 32, 32))
    finally:
        coverage.Counting = kept
    assert "eval output changed; 2 calls in an eval forward" in row.outcome


@pytest.mark.slow
def test_every_family() -> None:
    """The walk that writes docs/coverage.md: only models without a convolution are left out."""
    rows = coverage.walk(limit=30_000_000)  # the larger ones on the meta device, for time
    assert len(rows) > 150
    assert {row.outcome for row in rows} <= {"ok", "patch embedding", "no convolution"}
    assert sum(row.outcome == "no convolution" for row in rows) <= 4

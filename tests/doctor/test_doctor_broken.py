"""The doctor examines a sound net and broken ones: each fault is flagged by the check that is meant for it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from featmask.doctor import examine
from featmask.doctor.examination import TOTAL, Examination
from featmask.models.foreign import wrap
from oracles import broken

#: Models: the checks that must flag them, and how.
MODELS = {
    "detached": {"zero_gradient": "failed"},
    "rounded": {"zero_gradient": "failed"},
    "sign": {"zero_gradient": "failed"},
    "zero_backward": {"zero_gradient": "failed", "differences": "failed"},
    "straight_through": {"differences": "suspicious"},
    "reversed": {"differences": "failed"},
    "half_backward": {"differences": "suspicious"},
    "nan": {"nan_gradient": "failed"},
    "noisy": {"repeatable": "failed", "same_gradient": "failed"},
    "batch_statistics": {"alone": "failed"},
    "saturated": {"saturation": "failed"},
    "offset": {"saturation": "failed"},
    "softmax": {"logits": "failed"},
    "infinite": {"finite": "failed"},
    "train_mode": {"train_mode": "failed", "repeatable": "failed"},
    "half_train_mode": {"train_mode": "failed", "repeatable": "failed"},
    "mask_on": {"masking_off": "failed", "train_mode": "failed"},
    "mask_in_eval": {"masking_off": "failed", "repeatable": "failed"},
}
DATA = {
    "normalised": {"pixel_range": "failed"},
    "divided_twice": {"pixel_range": "suspicious", "accuracy": "failed"},
    "shifted_labels": {"accuracy": "failed"},
    "labels_from_one": {"labels": "failed"},
}
#: What the attacks themselves show of some, at a radius where a tenth of the digits survives.
ATTACKS = {
    "zero_backward": {"large_radius", "square"},
    "sign": {"large_radius", "square"},
    "reversed": {"large_radius"},
    "half_backward": {"square"},
}
CLAIM = {"samples": 64, "steps": 10, "queries": 50, "eps": "48/255"}


@pytest.fixture(scope="module")
def sound():
    return broken.train()


@pytest.fixture
def no_attacks(monkeypatch):
    monkeypatch.setattr(Examination, "attacks", lambda self, *arguments: None)


def flagged(diagnosis):
    return {c.name: c.verdict for c in diagnosis.checks if c.verdict in ("failed", "suspicious")}


@pytest.mark.parametrize(
    ("norm", "eps"), [("linf", "48/255"), pytest.param("l2", "1", marks=pytest.mark.slow), ("l1", "8")]
)
def test_a_sound_net_is_trusted(sound, norm, eps):
    net, data = sound
    diagnosis = examine(net, data, **{**CLAIM, "norm": norm, "eps": eps})
    assert flagged(diagnosis) == {}
    assert (diagnosis.verdict, diagnosis.trusted) == ("ok", True)
    assert [c.name for c in diagnosis.checks if c.verdict == "skipped"] == ["transfer", "undefended"]
    assert len(diagnosis.checks) == TOTAL
    assert diagnosis.check("zero_gradient").values["flat"] == 0


@pytest.mark.parametrize("name", MODELS)
def test_every_fault_of_a_model_is_flagged_by_its_check(sound, no_attacks, name):
    net, data = sound
    diagnosis = examine(broken.break_it(name, copy.deepcopy(net)), data, **CLAIM)
    found = flagged(diagnosis)
    assert MODELS[name].items() <= found.items(), found
    # and not by checks of other things: a diagnosis names the disease
    also = {"train_mode", "repeatable", "differences", "same_gradient"}
    assert set(found) <= MODELS[name].keys() | also
    assert not diagnosis.trusted


@pytest.mark.parametrize("name", DATA)
def test_every_fault_of_the_data_is_flagged_by_its_check(sound, name):
    net, data = sound
    diagnosis = examine(net, broken.break_data(name, data), **CLAIM)
    assert DATA[name].items() <= flagged(diagnosis).items()
    assert not diagnosis.trusted
    attacks = [c for c in diagnosis.checks if c.group == "attacks"]
    assert {c.verdict for c in attacks} == {"skipped"}
    assert attacks[0].figure.startswith("not asked, since this failed")
    assert len(diagnosis.checks) == TOTAL


@pytest.mark.parametrize("name", ["zero_backward", *(pytest.param(n, marks=pytest.mark.slow) for n in MODELS)])
def test_attacks_themselves_show_masked_gradients(sound, name):
    net, data = sound
    surrogate = copy.deepcopy(net)
    diagnosis = examine(broken.break_it(name, copy.deepcopy(net)), data, **CLAIM, surrogate=surrogate)
    found = flagged(diagnosis)
    assert MODELS[name].items() <= found.items()
    assert ATTACKS.get(name, set()) <= found.keys()
    if name == "zero_backward":
        # the net without the fault is the best of all surrogates
        assert found["transfer"] == "failed"
    assert len(diagnosis.checks) == TOTAL


def test_what_is_wrong_is_named(sound, no_attacks):
    net, data = sound

    def figure(name, check):
        return examine(broken.break_it(name, copy.deepcopy(net)), data, **CLAIM).check(check).figure

    assert "bn1 (BatchNorm2d)" in figure("train_mode", "train_mode")
    assert figure("half_train_mode", "train_mode").startswith("1 layer(s) in training mode: dropout (Dropout)")
    assert figure("mask_on", "masking_off") == "LocalFeatureMasking at conv1 came switched on"
    assert figure("mask_in_eval", "masking_off") == "Stubborn at conv1 acts in eval mode"
    assert "autograd connects no pixel" in figure("detached", "zero_gradient")
    shifted = examine(net, broken.break_data("shifted_labels", data), **CLAIM).check("accuracy").figure
    assert "if classes were named in another order" in shifted
    normalised = examine(net, broken.break_data("normalised", data), **CLAIM).check("pixel_range").figure
    assert "pixels from -0.811 to 1.89" in normalised


def test_dropout_that_drops_nothing_and_masks_that_are_off_are_fine(sound, no_attacks):
    net, data = sound
    net = copy.deepcopy(net)
    broken.attach(net, broken.LocalFeatureMasking(), at="conv1", example=torch.zeros(2, 1, 8, 8))
    net.dropout.p = 0.0
    net.dropout.train()
    diagnosis = examine(net, data, **CLAIM)
    assert flagged(diagnosis) == {}
    assert diagnosis.check("masking_off").figure == "1 masking layer(s), all of them off"


class Moody(nn.Module):
    """Shifts what it is given in one mode, without being a layer that anyone knows."""

    def __init__(self, training: bool, by):
        super().__init__()
        self.when, self.by = training, by

    def forward(self, x):
        return x + self.by() if self.training == self.when else x


def test_modes_are_told_by_outputs_and_by_names(sound, no_attacks):
    net, data = sound
    net = copy.deepcopy(net)
    net.dropout = nn.Dropout(1e-9).train()  # this time it dropped nothing
    assert flagged(examine(net, data, **CLAIM)) == {"train_mode": "failed"}
    net.dropout = nn.Identity()
    net.front = Moody(True, lambda: 0.01).train()
    assert flagged(examine(net, data, **CLAIM)) == {"train_mode": "failed"}
    # random in eval mode alone: then the mode that it came in is not to blame
    net.front = Moody(False, lambda: torch.randn(1, 1, 8, 8) / 10).train()
    assert flagged(examine(net, data, **CLAIM)).items() >= {"repeatable": "failed"}.items()


def test_everything_comes_back_as_it_was(sound, no_attacks):
    net, data = sound
    net = broken.break_it("mask_on", copy.deepcopy(net))
    net.bn1.train()
    net.fc.weight.requires_grad_(False)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    random = torch.get_rng_state()
    examine(net, data, **CLAIM)
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
    assert [module.training for module in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()].count(False) == 1
    assert torch.equal(torch.get_rng_state(), random)
    assert not net.conv1._forward_pre_hooks
    assert all(not m._forward_pre_hooks for m in net.modules())


def test_a_random_model_is_followed_by_averages_alone(sound):
    net, data = sound
    noisy = broken.break_it("noisy", copy.deepcopy(net))
    diagnosis = examine(noisy, data, **{**CLAIM, "steps": 4})
    torch.manual_seed(99)  # what a random model draws is the examination's seed's, too
    assert examine(noisy, data, **{**CLAIM, "steps": 4}) == diagnosis
    assert diagnosis.settings["passes"] > 1
    assert diagnosis.check("radius").verdict == "ok"
    assert "random" in diagnosis.check("square").figure
    assert len(diagnosis.checks) == TOTAL


class Black(nn.Module):
    differentiable = False

    def __init__(self, net):
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x):
        return self.net(x)


def test_a_black_box_gives_upper_bounds_alone(sound):
    net, data = sound
    diagnosis = examine(Black(net).eval(), data, **CLAIM)
    assert flagged(diagnosis) == {"zero_gradient": "suspicious"}
    assert not diagnosis.trusted
    assert diagnosis.check("eps_zero").verdict == "ok"
    assert diagnosis.check("square").figure == "there are no gradients"
    assert len(diagnosis.checks) == TOTAL


def test_torchscript_is_examined_like_a_module(sound, no_attacks):
    net, data = sound
    assert flagged(examine(torch.jit.trace(copy.deepcopy(net), data.tensors[0][:2]), data, **CLAIM)) == {}
    layers = nn.Sequential(net.conv1, copy.deepcopy(net.bn1).train(), nn.Flatten(), nn.Linear(12 * 64, 10))
    came = examine(wrap(torch.jit.script(layers), [0.0], [1.0]), data, **CLAIM).check("train_mode")
    assert came.verdict == "failed"
    assert "(BatchNorm2d)" in came.figure


@pytest.mark.slow
def test_false_alarms_are_rare():
    """Twelve sound nets in three norms, none flagged: at 1 % a diagnosis, three or more have a chance of 0.5 %."""
    alarms = []
    for seed in range(12):
        net, data = broken.train(seed)
        for norm, eps in (("linf", "32/255"), ("l2", "1"), ("l1", "8")):
            found = flagged(examine(net, data, **{**CLAIM, "norm": norm, "eps": eps}, seed=seed))
            alarms += [(seed, norm, found)] if found else []
    assert len(alarms) < 3, alarms

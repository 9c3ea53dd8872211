"""Any user's model, wrapped: the same outputs and gradients as the bare one, or an error that says what to do."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict, namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import featmask
from featmask.errors import FeatmaskError
from featmask.models import Normalized, is_differentiable, looks_like_probabilities
from featmask.models.foreign import Foreign, wrap

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit", "ignore::torch.jit.TracerWarning")

MEAN, STD = (0.2, 0.4, 0.6), (0.5, 0.25, 2.0)
PLAIN = (0, 0, 0), (1, 1, 1)


def network(classes: int = 5) -> nn.Module:
    """Smooth, with running statistics that matter; images of 8 x 8."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, classes)
    )
    model(torch.randn(16, 3, 8, 8))
    return model.eval()


class Head(nn.Module):
    """A network whose output is passed on in some wrapping."""

    def __init__(self, inner, give):
        super().__init__()
        self.inner, self.give = inner, give

    def forward(self, images):
        return self.give(self.inner(images))


def normalised(pixels):
    """The formula, written out."""
    planes = [(pixels[:, c] - MEAN[c]) / STD[c] for c in range(3)]
    return torch.stack(planes, 1)


def exported(model, images: int = 4, least: int | None = None, **bounds):
    shapes = None if least is None else ({0: torch.export.Dim("n", min=least, **bounds)},)
    return torch.export.export(model, (torch.rand(images, 3, 8, 8),), dynamic_shapes=shapes)


def function(model):
    """Not a module, and nothing tells that gradients pass."""
    return lambda images: model(images)  # noqa: PLW0108


# ---- outputs and gradients -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [lambda m: m, torch.jit.script, exported, function], ids=["module", "script", "program", "function"]
)
@pytest.mark.parametrize("count", [1, 4, 7])
def test_the_logits_are_those_of_the_bare_model_on_normalised_images(kind, count):
    model, pixels = network(), torch.rand(count, 3, 8, 8)
    torch.testing.assert_close(wrap(kind(model), MEAN, STD)(pixels), model(normalised(pixels)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (lambda m: m, {}),
        (lambda m: torch.jit.trace(m, torch.rand(2, 3, 8, 8).double()), {"batch": 2}),
        (function, {"black_box": False}),
        (lambda m: Head(m, lambda z: z[:, :1]), {"single_logit": True}),
    ],
)
def test_gradients_agree_with_finite_differences(kind, options):
    wrapped = wrap(kind(network().double()), MEAN, STD, **options).double()
    assert wrapped.differentiable
    pixels = torch.rand(3, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(wrapped, (pixels,), fast_mode=True)


def test_a_programs_gradients_are_those_of_the_model_also_where_its_batch_is_filled_up():
    model = network()
    one, other = torch.rand(2, 6, 3, 8, 8).unbind()
    other.copy_(one)
    wrap(exported(model), MEAN, STD)(one.requires_grad_())[:, 1].sum().backward()
    wrap(model, MEAN, STD)(other.requires_grad_())[:, 1].sum().backward()
    torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-5)


Named = namedtuple("Named", ["aux", "logits"])


@pytest.mark.parametrize(
    "give",
    [
        lambda z: SimpleNamespace(loss=None, logits=z),
        lambda z: OrderedDict(hidden=z * 0, logits=z),
        lambda z: (z, z * 0),
        lambda z: Named(z * 0, z),
        lambda z: {"logits": (z, None)},
        lambda z: z.detach().numpy().astype(np.float64),
    ],
    ids=["object", "mapping", "tuple", "namedtuple", "nested", "array"],
)
def test_logits_are_found_in_what_a_model_gives(give):
    model, pixels = network(), torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(wrap(Head(model, give), *PLAIN)(pixels), model(pixels))


@pytest.mark.parametrize(
    ("give", "says"),
    [
        (lambda z: {"scores": z}, "no logits in the model's output of type dict"),
        (lambda z: "cat", "of type str"),
        (lambda z: (), "of type tuple"),
        (lambda z: z[:, 0], "single_logit=True"),
        (lambda z: z[:, :1], "single_logit=True"),
        (lambda z: z[:1], r"N = 2, got \(1, 5\)"),
        (lambda z: z[..., None], r"got \(2, 5, 1\)"),
    ],
)
def test_an_output_that_is_no_logits_is_refused(give, says):
    with pytest.raises(FeatmaskError, match=says):
        wrap(Head(network(), give), *PLAIN)(torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize("give", [lambda z: z[:, 0], lambda z: z[:, :1]])
def test_one_logit_becomes_two_whose_softmax_is_its_sigmoid(give):
    model, pixels = network(), torch.rand(6, 3, 8, 8)
    logits = wrap(Head(model, give), *PLAIN, single_logit=True)(pixels)
    torch.testing.assert_close(logits.softmax(1)[:, 1], model(pixels)[:, 0].sigmoid())
    with pytest.raises(FeatmaskError, match=r"one number for each of 6 images, got \(6, 5\)"):
        wrap(model, *PLAIN, single_logit=True)(pixels)


# ---- statistics ------------------------------------------------------------------------------------------------------


def test_a_timm_model_brings_its_statistics():
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_vit", pretrained=False, num_classes=4).eval()
    model.pretrained_cfg["mean"], model.pretrained_cfg["std"] = MEAN, STD
    pixels = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(wrap(model)(pixels), model(normalised(pixels)))
        torch.testing.assert_close(wrap(nn.DataParallel(model))(pixels), model(normalised(pixels)))
        torch.testing.assert_close(wrap(model, *PLAIN)(pixels), model(pixels))
    grey = timm.create_model("test_vit", pretrained=False, in_chans=1)
    with pytest.raises(FeatmaskError, match=r"takes 1 channel\(s\), but its statistics are for 3"):
        wrap(grey)


def test_who_says_nothing_is_asked():
    model = pytest.importorskip("torchvision.models").resnet18(weights=None)
    with pytest.raises(FeatmaskError, match=r"ResNet doesn't say .* mean=\(0, 0, 0\), std=\(1, 1, 1\)"):
        wrap(model)
    with pytest.raises(FeatmaskError, match="both mean and std"):
        wrap(model, MEAN)


def test_a_normalised_model_passes_as_it_is_and_is_not_normalised_twice():
    for model in (Normalized(network(), MEAN, STD), wrap(network(), MEAN, STD)):
        assert wrap(model) is model
        with pytest.raises(FeatmaskError, match="wrapped already"):
            wrap(model, MEAN, STD)


def test_what_is_no_model_is_refused():
    with pytest.raises(FeatmaskError, match="got str"):
        wrap("resnet18", *PLAIN)


# ---- gradients or none -----------------------------------------------------------------------------------------------


class Detached(nn.Module):
    def forward(self, images):
        return torch.tensor(images.detach().numpy()).mean((2, 3))


class Numpy(nn.Module):
    def forward(self, images):
        return torch.tensor(images.numpy()).mean((2, 3))  # NumPy refuses tensors that need gradients


class Masked(nn.Module):
    def forward(self, images):
        return images.round().mean((2, 3))


@pytest.mark.parametrize(
    ("model", "expected"), [(network(), True), (Masked(), True), (Detached(), False), (Numpy(), False)]
)
def test_whether_gradients_reach_the_pixels(model, expected):
    wrapped = wrap(model, *PLAIN)
    assert is_differentiable(wrapped, torch.rand(1, 3, 8, 8)) is expected
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():
        assert is_differentiable(wrapped, torch.rand(1, 3, 8, 8)) is expected
    assert not is_differentiable(wrap(model, *PLAIN, black_box=True), torch.rand(1, 3, 8, 8))


def test_a_mistake_in_the_model_is_not_taken_for_missing_gradients():
    with pytest.raises(RuntimeError):
        is_differentiable(network(), torch.rand(1, 3, 9, 9))


def test_a_function_is_tried_out_where_the_size_is_known_and_else_a_black_box():
    model = network()
    assert wrap(function(model), *PLAIN, size=8).differentiable
    assert not wrap(lambda x: model(x).detach().numpy(), *PLAIN, size=8).differentiable
    assert not wrap(function(model), *PLAIN).differentiable
    assert not wrap(function(model), *PLAIN)(torch.rand(1, 3, 8, 8, requires_grad=True)).requires_grad


# ---- frozen graphs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("least", "bounds"), [(2, {}), (3, {"max": 5})])
@pytest.mark.parametrize("count", [1, 3, 11])
def test_a_programs_own_bounds_on_the_batch_are_kept(least, bounds, count):
    model, pixels = network(), torch.rand(count, 3, 8, 8)
    wrapped = wrap(exported(model, 4, least, **bounds), *PLAIN)
    assert (wrapped.takes.least, wrapped.takes.most) == (least, bounds.get("max"))
    torch.testing.assert_close(wrapped(pixels), model(pixels), atol=1e-5, rtol=0)


def test_a_trace_that_fixed_its_batch_says_what_to_do():
    class Fixed(nn.Module):
        def forward(self, images):
            return images.view(4, 192)

    trace = torch.jit.trace(Fixed(), torch.rand(4, 3, 8, 8))
    pixels = torch.rand(5, 3, 8, 8)
    with pytest.raises(FeatmaskError, match="batch="):
        wrap(trace, *PLAIN)(pixels)
    torch.testing.assert_close(wrap(trace, *PLAIN, batch=4)(pixels), pixels.flatten(1))


def test_images_of_another_size_are_refused_before_the_model_runs():
    for wrapped in (wrap(exported(network()), *PLAIN), wrap(network(), *PLAIN, size=(8, 8))):
        with pytest.raises(FeatmaskError, match="takes images of 8 x 8, got 9 x 8"):
            wrapped(torch.rand(2, 3, 9, 8))
        with pytest.raises(FeatmaskError, match=r"got \(3, 8, 8\)"):
            wrapped(torch.rand(3, 8, 8))
    for options in ({"size": 9}, {"batch": 5}):
        with pytest.raises(FeatmaskError, match="but the model takes"):
            wrap(exported(network()), *PLAIN, **options)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm2d(3)], ids=["dropout", "batch norm"])
def test_a_graph_frozen_in_training_mode_is_refused(layer):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, images):
            return self.layer(images).mean((2, 3))

    pixels = torch.rand(4, 3, 8, 8)
    for graph in (exported(Net().train()), torch.jit.trace(Net().train(), pixels, check_trace=False)):
        with pytest.raises(FeatmaskError, match="training mode"):
            wrap(graph, *PLAIN)
    net = Net().eval()
    for graph in (exported(net), torch.jit.trace(net, pixels)):
        torch.testing.assert_close(wrap(graph, *PLAIN)(pixels), net(pixels))


def test_instance_normalisation_has_no_training_mode():
    net = nn.Sequential(nn.InstanceNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    pixels = torch.rand(4, 3, 8, 8)
    for graph in (exported(net), torch.jit.trace(net, pixels), exported(net).run_decompositions()):
        torch.testing.assert_close(wrap(graph, *PLAIN)(pixels), net(pixels))


@pytest.mark.parametrize("kind", [lambda m: m, torch.jit.script, exported], ids=["module", "script", "program"])
def test_evaluation_takes_it_and_leaves_it_as_it_was(kind):
    model, pixels = network(), torch.rand(10, 3, 8, 8)
    labels = (model(normalised(pixels)).argmax(1) + (torch.arange(10) < 3)) % 5
    model.requires_grad_(True)
    wrapped = wrap(kind(model.train() if kind is torch.jit.script else model), MEAN, STD)
    modes = [module.training for module in wrapped.modules()]
    for suite in ("clean", "linf"):
        evaluation = featmask.evaluate(wrapped, [(pixels, labels)], suite=suite)
        figure = evaluation.suite.metrics["accuracy" if suite == "clean" else "clean"]
        assert figure == pytest.approx(0.7)
    assert [module.training for module in wrapped.modules()] == modes
    assert all(parameter.requires_grad for parameter in wrapped.parameters())


# ---- a module among modules ------------------------------------------------------------------------------------------


def test_the_models_own_state_is_untouched_and_copies_work():
    model, pixels = network(), torch.rand(2, 3, 8, 8)
    wrapped = wrap(model, MEAN, STD, single_logit=False)
    assert list(wrapped.state_dict()) == ["model." + name for name in model.state_dict()]
    assert wrapped.model is model
    for twin in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert isinstance(twin, Foreign)
        assert torch.equal(twin(pixels), wrapped(pixels))
    program = wrap(exported(model), MEAN, STD)
    assert torch.equal(copy.deepcopy(program)(pixels), program(pixels))


def test_it_moves_as_a_whole_and_keeps_the_memory_format():
    seen = []

    def note(module, inputs):
        seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))

    model = network()
    model.register_forward_pre_hook(note)
    wrapped = wrap(model, MEAN, STD).to(memory_format=torch.channels_last)
    wrapped(torch.rand(2, 3, 8, 8).to(memory_format=torch.channels_last))
    assert seen == [True]
    wrapped = wrapped.to("meta")
    assert wrapped(torch.rand(2, 3, 8, 8, device="meta")).device.type == "meta"


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (torch.randn(8, 4).softmax(1), True),
        (torch.eye(4), True),
        (torch.tensor([[1 / 3, 1 / 3, 1 / 3]]).half(), True),
        (torch.randn(8, 4), False),
        (torch.randn(8, 4).log_softmax(1), False),
        (torch.randn(8, 4).sigmoid(), False),
        (torch.tensor([[1.5, -0.5]]), False),
        (torch.tensor([[0.4, 0.4]]), False),
        (torch.cat([torch.randn(8, 4).softmax(1), torch.randn(1, 4)]), False),
        (torch.tensor([[float("nan"), 1.0]]), False),
        (torch.ones(3, 1), False),
        (torch.ones(0, 3), False),
    ],
)
def test_probabilities_are_told_from_logits(outputs, expected):
    assert looks_like_probabilities(outputs) is expected

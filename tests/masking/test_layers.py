"""The layer as a citizen of PyTorch: copied, saved, compiled, exported, distributed."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from featmask.errors import FeatmaskError
from featmask.functional import local_feature_masking, published_feature_masking
from featmask.layers import LocalFeatureMasking, PublishedFeatureMasking

SHAPE = (4, 6, 12, 10)
LAYERS = [
    LocalFeatureMasking(),
    LocalFeatureMasking(0.123456789, channels=1 / 3, area=(0.1, 0.2), aspect=(0.5, 2.0), fill="mean", per="batch"),
    LocalFeatureMasking(1, fill=-2.5, inplace=True),
    LocalFeatureMasking(area=[0.1, 0.2], aspect=[1, 2]),
    PublishedFeatureMasking(),
    PublishedFeatureMasking(0.7, channels=0.25, area=(0.1, 0.3), aspect=(0.9, 1.1), first=8, inplace=True),
]


pytestmark = pytest.mark.usefixtures("fresh_compiler")


def run(layer: nn.Module, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return layer(x)


def small_model(mask: nn.Module | None) -> nn.Sequential:
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)]
    return nn.Sequential(*parts[:1], *([] if mask is None else [mask]), *parts[1:])


# --- the forward ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_eval_returns_the_input_itself_and_draws_nothing(layer):
    layer = copy.deepcopy(layer).eval()
    x = torch.randn(SHAPE)
    state = torch.get_rng_state()
    assert layer(x) is x
    assert layer(x[0]).data_ptr() == x.data_ptr(), "in eval mode nothing is checked"
    assert torch.equal(torch.get_rng_state(), state)
    assert layer.last_mask is None


def test_the_layer_is_the_function():
    x = torch.randn(SHAPE)
    for options in ({"p": 0.8}, {"p": 1.0, "channels": 0.2, "fill": "mean", "per": "batch", "area": (0.1, 0.2)}):
        assert torch.equal(
            run(LocalFeatureMasking(**options), x), run(lambda x, o=options: local_feature_masking(x, **o), x)
        )
    options = {"p": 1.0, "channels": 0.2, "first": 2, "aspect": (0.5, 1.0)}
    assert torch.equal(
        run(PublishedFeatureMasking(**options), x), run(lambda x: published_feature_masking(x, **options), x)
    )


def test_named_constructors():
    assert repr(LocalFeatureMasking.paper()) == repr(LocalFeatureMasking())
    assert repr(LocalFeatureMasking.published(0.3, first=8)) == repr(PublishedFeatureMasking(0.3, first=8))
    assert not LocalFeatureMasking.paper().options.published
    assert LocalFeatureMasking.published().options.published


@pytest.mark.parametrize("make", [LocalFeatureMasking, PublishedFeatureMasking])
def test_last_mask_and_dropped_fraction_are_what_changed(make):
    layer = make(0.6)
    assert layer.last_mask is None
    assert layer.dropped_fraction is None
    x = torch.full(SHAPE, -1.0)
    for seed in range(10):
        y = run(layer, x, seed)
        assert torch.equal(layer.last_mask, y != x)
        assert layer.dropped_fraction == pytest.approx((y != x).double().mean().item(), abs=1e-12)
    layer.p = 0.0
    assert layer(x) is x
    assert not layer.last_mask.any()
    assert layer.dropped_fraction == 0.0


def test_p_may_follow_a_schedule():
    layer = LocalFeatureMasking(0.0)
    x = torch.full((64, 1, 12, 12), -1.0)
    seen = []
    for p in (0.0, 0.5, 1.0):
        layer.p = p
        assert layer.p == p
        seen.append((run(layer, x) != x).flatten(1).any(1).sum().item())
    assert seen[0] == 0 < seen[1] < seen[2] == 64
    with pytest.raises(FeatmaskError, match="p: expected"):
        layer.p = 1.2
    assert layer.p == 1.0


def test_bad_options_and_inputs_are_told():
    with pytest.raises(FeatmaskError, match="fill: expected"):
        LocalFeatureMasking(fill="random")
    with pytest.raises(FeatmaskError, match="first: expected"):
        PublishedFeatureMasking(first=0)
    with pytest.raises(FeatmaskError, match="4 dimensions"):
        LocalFeatureMasking()(torch.randn(3, 4))


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_repr_reproduces_the_call(layer):
    again = eval(repr(layer))
    assert type(again) is type(layer)
    for name in ("p", "channels", "fill", "per", "published", "first"):
        assert getattr(again.options, name) == getattr(layer.options, name)
    assert tuple(again.options.area) == tuple(layer.options.area)
    assert tuple(again.options.aspect) == tuple(layer.options.aspect)
    assert again.inplace == layer.inplace


def saved(layer: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer)), saved])
@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_copies_behave_like_the_original(layer, copier):
    layer = copy.deepcopy(layer)
    layer(torch.randn(SHAPE))
    twin = copier(layer)
    assert repr(twin) == repr(layer)
    assert twin.last_mask is None, "an observation is not state"
    assert layer.last_mask is not None
    x = torch.randn(SHAPE)
    assert torch.equal(run(layer, x.clone()), run(twin, x.clone()))
    twin.p = 0.01
    assert layer.p != 0.01


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer)), saved])
def test_a_copy_continues_a_private_generator_on_its_own(copier):
    layer = LocalFeatureMasking(1.0, generator=torch.Generator().manual_seed(3))
    x = torch.randn(SHAPE)
    layer(x)
    twin = copier(layer)
    first, second = layer(x), layer(x)
    assert torch.equal(twin(x), first)
    assert torch.equal(twin(x), second)


def test_a_state_dict_is_the_same_with_and_without():
    with_mask = nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3), "mask": LocalFeatureMasking()})
    assert list(with_mask.state_dict()) == ["conv.weight", "conv.bias"]
    assert not list(LocalFeatureMasking().parameters()) + list(LocalFeatureMasking().buffers())


# --- compilers and exporters ------------------------------------------------------------------------------------------


def compilations(backend: str):
    """A backend that counts what it compiles."""
    inner, count = torch._dynamo.lookup_backend(backend), []

    def counting(graph, inputs, **options):
        count.append(graph)
        return inner(graph, inputs, **options)

    return counting, count


@pytest.mark.parametrize(("published", "inplace"), [(False, True), (True, False)])
def test_compile_whole_with_varying_batches(published, inplace):
    layer = (PublishedFeatureMasking if published else LocalFeatureMasking)(1.0, inplace=inplace)
    backend, count = compilations("aot_eager")
    model = small_model(layer)
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    layer(torch.randn(SHAPE))  # an eager forward before: what it left behind must not be taken for the compiled one's
    for batch in (4, 7, 5, 9, 3):
        compiled(torch.randn(batch, 3, 14, 14)).sum().backward()
        assert layer.last_mask is None
    assert len(count) <= 2, "one for the first size, one for any size"
    assert all(p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    with torch.no_grad():
        plain = nn.Sequential(*[part for part in model if part is not layer])
        for batch in (5, 6, 8):
            x = torch.randn(batch, 3, 14, 14)
            torch.testing.assert_close(compiled(x), plain(x))
        settled = len(count)
        model.train()
        compiled(torch.randn(4, 3, 14, 14))
        model.eval()
        for batch in (4, 7, 11):
            compiled(torch.randn(batch, 3, 14, 14))
    assert len(count) <= settled + 1, "eval() costs no further compilation once both modes are known"


@pytest.mark.parametrize("fill", ["uniform", "zero", "mean", "noise", 2.5])
def test_compiled_values_and_gradients(fill):
    layer = LocalFeatureMasking(1.0, fill=fill)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = (torch.randn(SHAPE) - 50).requires_grad_()
    torch.manual_seed(1)
    first = compiled(x)
    second = compiled(x)
    assert not torch.equal(first, second), "a mask is drawn in every run, not once for the graph"
    torch.manual_seed(1)
    assert torch.equal(compiled(x), first), "and repeats from the seed"
    inside = first.detach() != x.detach()
    (grad,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(grad, (~inside).float())
    assert inside.flatten(2).any(2).sum(1).tolist() == [3] * 4


def test_compile_with_a_schedule_of_p():
    layer = LocalFeatureMasking(1.0)
    backend, count = compilations("eager")
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    x = torch.full((64, 1, 12, 12), -1.0)
    touched = []
    for step in range(20):
        layer.p = step / 19
        touched.append((compiled(x) != x).flatten(1).any(1).sum().item())
    assert touched[0] == 0
    assert touched[-1] == 64
    assert sum(touched[:10]) < sum(touched[10:])
    assert len(count) <= 4, "p is a number in the graph, not a reason to compile again"


def test_compile_refuses_a_private_generator():
    compiled = torch.compile(LocalFeatureMasking(1.0, generator=torch.Generator()), backend="eager", fullgraph=True)
    with pytest.raises(Exception, match=r"generator= is not supported inside torch\.compile"):
        compiled(torch.randn(SHAPE))


@pytest.mark.slow  # the C++ compiler of inductor takes its time
def test_compile_with_inductor():
    for layer in (LocalFeatureMasking(1.0), PublishedFeatureMasking(1.0)):
        compiled = torch.compile(layer, fullgraph=True)
        for batch in (4, 7, 5):
            for layout in (torch.contiguous_format, torch.channels_last):
                x = (torch.randn(batch, 6, 12, 10) - 50).contiguous(memory_format=layout).requires_grad_()
                y = compiled(x)
                assert y.stride() == x.stride()
                inside = (y != x).detach()
                assert inside.any()
                assert torch.equal(torch.autograd.grad(y.sum(), x)[0], (~inside).float())
        layer.eval()
        assert torch.equal(compiled(x), x)


def operations(program: torch.export.ExportedProgram) -> list[str]:
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("layer", [LocalFeatureMasking(1.0), PublishedFeatureMasking(1.0, inplace=True)], ids=repr)
def test_export_in_eval_leaves_no_trace(layer):
    x = (torch.randn(2, 3, 14, 14),)
    with_mask, without = small_model(layer).eval(), small_model(None).eval()
    program = torch.export.export(with_mask, x)
    assert operations(program) == operations(torch.export.export(without, x))
    assert torch.equal(program.module()(*x), without(*x))


def test_export_in_training_draws_in_the_graph():
    program = torch.export.export(small_model(LocalFeatureMasking(1.0)).train(), (torch.randn(2, 3, 14, 14),))
    assert any("rand" in name for name in operations(program))


def test_onnx_export_in_eval_leaves_no_trace():
    pytest.importorskip("onnxscript")
    x = (torch.randn(2, 3, 14, 14),)
    graphs = []
    for mask in (LocalFeatureMasking(1.0), None):
        program = torch.onnx.export(small_model(mask).eval(), x, dynamo=True, verbose=False)
        graphs.append([node.op_type for node in program.model_proto.graph.node])
    assert graphs[0] == graphs[1]


@pytest.mark.filterwarnings("ignore")  # tracing warns of every shape that it takes as fixed
def test_jit_trace():
    x = torch.randn(2, 3, 14, 14)
    model = small_model(LocalFeatureMasking(1.0)).eval()
    traced = torch.jit.trace(model, x)
    assert torch.equal(traced(x + 1), model(x + 1))
    assert "rand" not in str(traced.inlined_graph)
    for layer in (LocalFeatureMasking(1.0), PublishedFeatureMasking(1.0)):
        training = torch.jit.trace(layer, torch.randn(SHAPE), check_trace=False)
        y = torch.full(SHAPE, -1.0)
        assert not torch.equal(training(y), training(y)), "a mask is drawn in every run, not once for the trace"


# --- distributed ------------------------------------------------------------------------------------------------------


def _worker(rank: int, port: int, results: dict) -> None:
    torch.set_num_threads(1)
    store = torch.distributed.TCPStore("127.0.0.1", port, 2, rank == 0)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(small_model(LocalFeatureMasking(1.0, inplace=True)))
    torch.manual_seed(7)  # the same on every rank
    model(torch.randn(4, 3, 14, 14)).sum().backward()
    mask = model.module[1].last_mask
    compiled = torch.compile(LocalFeatureMasking(1.0), backend="eager", fullgraph=True)
    x = torch.full(SHAPE, -1.0)
    inside = run(compiled, x) != x
    results[rank] = mask.numpy(), inside.numpy(), model.module[0].weight.grad.numpy()
    torch.distributed.destroy_process_group()


@pytest.mark.slow  # two processes import torch
def test_two_processes_with_one_seed_draw_different_masks():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with torch.multiprocessing.Manager() as manager:
        results = manager.dict()
        torch.multiprocessing.spawn(_worker, (port, results), nprocs=2)
        (mask0, inside0, grad0), (mask1, inside1, grad1) = results[0], results[1]
    assert mask0.any()
    assert inside0.any()
    assert (mask0 != mask1).any()
    assert (inside0 != inside1).any()
    assert (grad0 == grad1).all(), "the gradients were averaged"

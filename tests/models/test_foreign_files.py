"""Models from files: equal to the eager network; what would run code is refused, and has not run it."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from featmask.errors import FeatmaskError, MissingExtraError
from featmask.models import is_differentiable
from featmask.models.foreign import read_model
from featmask.models.foreign.archives import OPERATOR, is_arithmetic
from featmask.models.foreign.programs import Takes

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit", "ignore::DeprecationWarning", "ignore::UserWarning")

MEAN, STD = (0.2, 0.4, 0.6), (0.5, 0.25, 2.0)
PLAIN = (0, 0, 0), (1, 1, 1)


def normalised(pixels):
    planes = [(pixels[:, c] - MEAN[c]) / STD[c] for c in range(3)]
    return torch.stack(planes, 1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    net(torch.randn(16, 3, 8, 8))
    return net.eval()


@pytest.fixture(scope="module")
def program(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    torch.export.save(torch.export.export(model, (torch.rand(4, 3, 8, 8),)), path)
    return path


@pytest.fixture(scope="module")
def script(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("script") / "net.pt"
    torch.jit.script(model).save(str(path))
    return path


def write_onnx(model, path: Path, images: int | str, **options) -> Path:
    pytest.importorskip("onnx")
    axes = {"pixels": {0: images}} if isinstance(images, str) else None
    example = torch.rand(images if isinstance(images, int) else 2, 3, 8, 8)
    torch.onnx.export(model, (example,), str(path), input_names=["pixels"], dynamic_axes=axes, dynamo=False, **options)
    return path


def rewritten(source: Path, target: Path, change) -> Path:
    """A copy of an archive with other members: ``change(name, content)`` gives the new content, without the root."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name.partition("/")[2], old.read(name)))
    return target


# ---- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4, 6])
def test_torchscript_and_programs_equal_the_eager_network(model, script, program, count):
    pixels = torch.rand(count, 3, 8, 8, requires_grad=True)
    expected = model(normalised(pixels))
    (slope,) = torch.autograd.grad(expected[:, 2].sum(), pixels)
    for path in (script, program):
        wrapped = read_model(path, MEAN, STD)
        assert wrapped.differentiable
        logits = wrapped(pixels)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.autograd.grad(logits[:, 2].sum(), pixels)[0], slope, atol=1e-5, rtol=0)


def test_the_kind_is_told_by_content_not_by_name(model, script, program, tmp_path):
    pixels = torch.rand(4, 3, 8, 8)
    for path, suffix in ((script, ".torchscript"), (script, ".pth"), (program, ".pt")):
        other = tmp_path / f"{path.stem}{suffix}"
        other.write_bytes(path.read_bytes())
        torch.testing.assert_close(read_model(other, *PLAIN)(pixels), model(pixels), atol=1e-5, rtol=0)


def test_a_program_with_sizes_of_its_own_passes_the_search_for_code(tmp_path):
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.constant = nn.Conv2d(3, 6, 3), torch.ones(1)

        def forward(self, images):
            grown = nn.functional.interpolate(self.conv(images) * self.constant, scale_factor=2.0)
            first, second = grown.flatten(2).mean(2).chunk(2, 1)
            return first * second + images.shape[2] / images.shape[3]

    model, (n, h, w) = Halves(), (torch.export.Dim(name, min=4, max=32) for name in "nhw")
    path = tmp_path / "net.pt2"
    torch.export.save(
        torch.export.export(model, (torch.rand(6, 3, 10, 8),), dynamic_shapes=({0: n, 2: h, 3: w},)), path
    )
    pixels = torch.rand(5, 3, 20, 12)
    torch.testing.assert_close(read_model(path, *PLAIN)(pixels), model(pixels), atol=1e-5, rtol=0)


@pytest.mark.parametrize("images", [4, "n"])
@pytest.mark.parametrize("count", [1, 4, 6])
def test_onnx_equals_the_eager_network(model, tmp_path, images, count):
    wrapped = read_model(write_onnx(model, tmp_path / "net.onnx", images), MEAN, STD)
    pixels = torch.rand(count, 3, 8, 8, requires_grad=True)
    torch.testing.assert_close(wrapped(pixels), model(normalised(pixels)).detach(), atol=1e-5, rtol=0)
    assert wrapped.takes == (Takes(4, 4, 8, 8) if images == 4 else Takes(1, None, 8, 8))
    assert not wrapped.differentiable
    assert not is_differentiable(wrapped, pixels)
    for twin in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert torch.equal(twin(pixels), wrapped(pixels))


def onnx_graph(path: Path, shape, dtype: int = 1, inputs: int = 1) -> Path:
    """Means of a channels-last image as the second output, "logits"; their negatives come first."""
    onnx, helper = pytest.importorskip("onnx"), pytest.importorskip("onnx.helper")
    values = [helper.make_tensor_value_info(f"x{i}", dtype, shape) for i in range(inputs)]
    results = [helper.make_tensor_value_info(name, dtype, None) for name in ("negatives", "logits")]
    nodes = [
        helper.make_node("ReduceMean", ["x0"], ["logits"], axes=[1, 2], keepdims=0),
        helper.make_node("Neg", ["logits"], ["negatives"]),
    ]
    graph = helper.make_graph(nodes, "g", values, results)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize("dtype", [1, 10, 11], ids=["single", "half", "double"])
def test_an_onnx_graph_with_channels_last_and_another_precision(tmp_path, dtype):
    path = onnx_graph(tmp_path / "net.onnx", ["n", 8, 6, 3], dtype)
    pixels, wrapped, fed = torch.rand(2, 3, 8, 6), read_model(path, MEAN, STD), []
    session = wrapped.model._session
    spy = SimpleNamespace(run=lambda outputs, feed: fed.extend(feed.values()) or session.run(outputs, feed))
    wrapped.model._session = spy
    logits = wrapped(pixels)
    # onnx's own evaluator would take any precision and shape
    assert [(array.dtype.itemsize, array.shape) for array in fed] == [({1: 4, 10: 2, 11: 8}[dtype], (2, 8, 6, 3))]
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, normalised(pixels).mean((2, 3)), atol=2e-3 if dtype == 10 else 1e-5, rtol=0)
    with pytest.raises(FeatmaskError, match="takes images of 8 x 6, got 6 x 8"):
        read_model(path, MEAN, STD)(pixels.mT)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"shape": ["n", 8, 3]}, r"'x0' has the shape \['n', 8, 3\]"),
        ({"shape": ["n", 3, 8, 8], "dtype": 6}, "float images"),
        ({"shape": ["n", 3, 8, 8], "inputs": 2}, r"one input, images, got \['x0', 'x1'\]"),
    ],
)
def test_an_onnx_graph_that_takes_no_images_is_refused(tmp_path, options, says):
    with pytest.raises(FeatmaskError, match=says):
        read_model(onnx_graph(tmp_path / "net.onnx", **options), *PLAIN)


def test_onnx_gradients_cannot_be_asked_for(model, tmp_path):
    path = write_onnx(model, tmp_path / "net.onnx", 2)
    with pytest.raises(FeatmaskError, match="OnnxModel passes no gradients on"):
        read_model(path, *PLAIN, black_box=False)
    path.write_bytes(b"no protobuf")
    with pytest.raises(FeatmaskError, match="not a readable ONNX model"):
        read_model(path, *PLAIN)


@pytest.mark.parametrize("missing", [["onnxruntime"], ["onnxruntime", "onnx"]])
def test_onnx_is_enough_and_without_it_the_extra_is_named(model, tmp_path, monkeypatch, missing):
    path, pixels = write_onnx(model, tmp_path / "net.onnx", 2), torch.rand(3, 3, 8, 8)
    for library in missing:
        monkeypatch.setitem(sys.modules, library, None)
    if "onnx" not in missing:
        torch.testing.assert_close(read_model(path, *PLAIN)(pixels), model(pixels), atol=1e-5, rtol=0)
        return
    with pytest.raises(MissingExtraError, match=r"pip install 'featmask\[onnx\]'"):
        read_model(path, *PLAIN)


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_files_of_no_use_are_refused_with_what_to_do(script, tmp_path):
    with pytest.raises(FeatmaskError, match="no model file"):
        read_model(tmp_path / "none.pt", *PLAIN)
    with pytest.raises(FeatmaskError, match="pass mean and std"):
        read_model(script)
    weights, text, other = (tmp_path / name for name in ("net.safetensors", "net.pt", "net.zip"))
    weights.write_bytes(b"x")
    text.write_text("weights")
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "x")
    for path, says in ((weights, "without a network"), (text, "no TorchScript"), (other, "neither TorchScript nor")):
        with pytest.raises(FeatmaskError, match=says):
            read_model(path, *PLAIN)
    cut = tmp_path / "cut.pt2"
    rewritten(script, cut, lambda name, content: content[: len(content) // 2] if name == "data.pkl" else content)
    with pytest.raises(FeatmaskError, match="cannot read"):
        read_model(cut, *PLAIN)


class Payload:
    """What a pickle of an attacker does when it is read."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def saved(thing, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, **options)
    return buffer.getvalue()


PICKLES = {
    "pickle": pickle.dumps,
    "torch.save": saved,
    "old torch.save": lambda thing: saved(thing, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2", ".ts", ".onnx"])
@pytest.mark.parametrize("write", PICKLES.values(), ids=PICKLES)
def test_a_pickle_is_refused_and_does_not_run(tmp_path, write, suffix):
    marker, path = tmp_path / "ran", tmp_path / f"net{suffix}"
    path.write_bytes(write(Payload(marker)))
    with pytest.raises(
        FeatmaskError, match=r"not a readable ONNX model" if suffix == ".onnx" else r"runs whatever code"
    ):
        read_model(path, *PLAIN)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Payload(marker)))  # the danger is real
    assert marker.exists()


def poisoned(kind: str, name: str, content: bytes, marker: Path) -> bytes:
    """Put something into a program's file that runs while torch reads it, or when the program is opened."""
    code = f"__import__('os').mkdir('{marker}')"
    if kind == "inputs" and name == "data/sample_inputs/model.pt":
        return saved(((Payload(marker),), {}))
    if kind == "weights" and name == "data/weights/weight_0":
        return saved(Payload(marker))
    if kind in ("opaque", "custom") and name == "data/constants/model_constants_config.json":
        entry = {"path_name": f"{kind}_obj_0", "is_param": False, "use_pickle": False, "tensor_meta": None}
        return json.dumps({"config": {"thing": entry}}).encode()
    if not name.endswith(".json"):
        return content
    data = json.loads(content)
    if kind == "weights" and name == "data/weights/model_weights_config.json":
        data["config"]["0.weight"]["use_pickle"] = True
    if name == "models/model.json":
        graph = data["graph_module"]["graph"]
        if kind == "size":
            graph["tensor_values"]["relu"]["sizes"][0] = {"as_expr": {"expr_str": code, "hint": {"as_int": 4}}}
        if kind == "operator":
            graph["nodes"][0]["target"] = "torch.hub.load"
        if kind == "guard":
            data["guards_code"] = [f"{code} is None"]
    return json.dumps(data).encode()


KINDS = ("inputs", "weights", "size", "operator", "guard", "opaque", "custom")


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_would_run_code_is_refused_and_does_not_run(program, tmp_path, kind):
    marker, path = tmp_path / "ran", tmp_path / "net.pt2"
    rewritten(program, path, lambda name, content: poisoned(kind, name, content, marker))
    with pytest.raises(FeatmaskError, match="load it yourself"):
        read_model(path, *PLAIN)
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["inputs", "weights", "size", "guard"])
def test_the_danger_is_real(program, tmp_path, kind):
    """torch itself runs what the test above sees refused; without this, that test could pass on harmless files."""
    marker, path = tmp_path / "ran", tmp_path / "net.pt2"
    rewritten(program, path, lambda name, content: poisoned(kind, name, content, marker))
    with contextlib.suppress(Exception):
        torch.export.load(str(path)).module()(torch.rand(4, 3, 8, 8))
    assert marker.exists()


def test_a_compiled_library_and_ambiguous_archives_are_refused(program, script, tmp_path):
    for source, member, says in (
        (program, "data/aotinductor/model/wrapper.so", "compiled library"),
        (program, "models/model.json", "tampered"),
        (script, "data.pkl", "tampered"),
    ):
        path = tmp_path / f"copy{source.suffix}"
        path.write_bytes(source.read_bytes())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{source.stem}/{member}", b"{}")
        with pytest.raises(FeatmaskError, match=says):
            read_model(path, *PLAIN)


def test_a_script_that_touches_files_is_refused_before_its_code_runs(tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "net.pt"
    torch.jit.script(Writer(str(marker))).save(str(path))
    with pytest.raises(FeatmaskError, match="reads or writes files"):
        read_model(path, *PLAIN)
    assert not marker.exists()
    torch.jit.load(str(path))  # the danger is real
    assert marker.exists()


class Writer(nn.Module):
    """TorchScript that writes a file while it is loaded."""

    def __init__(self, marker: str):
        super().__init__()
        self.marker = marker

    def forward(self, images):
        return images.mean((2, 3))

    @torch.jit.export
    def __getstate__(self):
        return self.marker, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.marker = state[0]
        self.training = state[1]
        torch.save(torch.ones(1), state[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Symbol('s31', positive=True, integer=True)", True),
        ("Max(Integer(1), Add(Mul(Integer(2), Symbol('s0', positive=True)), Integer(-4)))", True),
        ("2*s0 + (s1 // 2) >= 4", True),
        ("((-1) + 6*L['x'].size()[3]) // 2 == 2 and L['x'].size()[0] <= 32", True),
        ("__import__('os')", False),
        ("().__class__", False),
        ("eval('s0')", False),
        ("Symbol('s0 + evil()')", False),
        ("[c for c in s0]", False),
        ("lambda: s0", False),
        ("s0 # comment", False),
        ("s0\n+ 1", False),
        ("(s0 := 3)", False),
        ("f'{s0}'", False),
        ("s0 !", False),
    ],
)
def test_only_arithmetic_of_sizes_passes(text, expected):
    assert is_arithmetic(text) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torch.ops.aten._native_batch_norm_legit.default", True),
        ("torch.ops.aten.__and__.Tensor", True),
        ("torch.ops.torchvision.nms.default", True),
        ("_operator.floordiv", True),
        ("torch.sym_max", True),
        ("torch.ops.aten.from_file.default", False),
        ("torch.ops.aten.__class__", False),
        ("torch.ops.load_library", False),
        ("torch.ops.load_library.__call__", False),
        ("torch.load", False),
        ("torch.hub.load", False),
        ("_operator.methodcaller", False),
    ],
)
def test_only_operators_of_networks_pass(name, expected):
    assert (OPERATOR.fullmatch(name) is not None) is expected


def test_the_format_of_older_torch_releases_is_looked_through_too(model, tmp_path):
    serialize = pytest.importorskip("torch._export.serde.serialize").serialize
    parts = serialize(torch.export.export(model, (torch.rand(4, 3, 8, 8),)))
    marker = tmp_path / "ran"
    for inputs in (parts.example_inputs, saved(((Payload(marker),), {}))):
        path = tmp_path / "old.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(
                "version", ".".join(str(n) for n in json.loads(parts.exported_program)["schema_version"].values())
            )
            archive.writestr("serialized_exported_program.json", parts.exported_program)
            archive.writestr("serialized_state_dict.pt", parts.state_dict)
            archive.writestr("serialized_constants.pt", parts.constants)
            archive.writestr("serialized_example_inputs.pt", inputs)
        if inputs is parts.example_inputs:
            pixels = torch.rand(6, 3, 8, 8)
            torch.testing.assert_close(read_model(path, *PLAIN)(pixels), model(pixels), atol=1e-5, rtol=0)
        else:
            with pytest.raises(FeatmaskError, match="more than tensors"):
                read_model(path, *PLAIN)
    assert not marker.exists()

"""What kind of model a file holds, and whether reading it would run code of its author. Nothing here unpickles."""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from ...errors import FeatmaskError

Kind = Literal["torchscript", "exported", "onnx"]

#: Operators that a graph of a network has: arithmetic on tensors and on sizes, none that touches files.
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims?|higher_order|torchvision|quantized_decomposed)"
    r"\.(?!from_file\b|save\b)(?:(?!__)\w+|__i?(?:and|or|xor|lshift|rshift)__)(\.\w+)?"
    r"|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.[a-z]\w*|torch\.sym_\w+|torch\._sym_\w+"
)
#: Arithmetic of sizes, as sympy and the guards of torch.export write it.
ARITHMETIC = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.keyword, ast.Name, ast.Constant,
    ast.Attribute, ast.Subscript, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip
#: torch.save's output under a name that says JSON, in files of torch < 2.3.
MISNAMED = ("serialized_state_dict.json", "serialized_constants.json")
YOURSELF = "if you trust it, load it yourself and hand the result to featmask.models.foreign.wrap"


def kind_of(path: Path) -> Kind:
    """What a file holds, told by its content (ONNX: by its name).

    Raises:
        FeatmaskError: no such file, weights without a network, a pickle, or none of the kinds that are read.
    """
    if not path.is_file():
        raise FeatmaskError(f"no model file {path}")
    if path.suffix == ".onnx":
        return "onnx"
    if path.suffix == ".safetensors":
        raise FeatmaskError(f"{path} holds weights without a network: build the network, load them, and use wrap()")
    if not zipfile.is_zipfile(path):
        raise _pickle(path)
    names = ["/" + name for name in zipfile.ZipFile(path).namelist()]
    if any("/code/" in name for name in names) and any(name.endswith("/constants.pkl") for name in names):
        return "torchscript"
    if "/serialized_exported_program.json" in names or any("/models/" in name for name in names):
        return "exported"
    if any(name.endswith("/data.pkl") for name in names):
        raise _pickle(path)
    raise FeatmaskError(f"{path} is a zip archive, but neither TorchScript nor an ExportedProgram")


def _pickle(path: Path) -> FeatmaskError:
    return FeatmaskError(
        f"{path} is no TorchScript archive, ExportedProgram or ONNX model; it looks like a pickle (torch.save), and "
        "reading one runs whatever code it names, so it is not read. Export the model with torch.export.save or "
        "torch.jit.save; or keep the weights as safetensors, load them into your network and call "
        "featmask.evaluate(wrap(model, mean, std), ...) from Python"
    )


def check_script(path: Path) -> None:
    """Refuse TorchScript whose code reads or writes files; ``__setstate__`` would run it while the file is read.

    Raises:
        FeatmaskError: it does, or the archive shows two readers different members.
    """
    for name, read in _records(path).items():
        if name.startswith("code/") and name.endswith(".py") and re.search(rb"\b(from_file|save)\(", read()):
            raise FeatmaskError(f"{path}: its code {name} reads or writes files; {YOURSELF}")


def check_program(path: Path) -> None:
    """Refuse an ExportedProgram that would run code of its author while it is read or called.

    Refused are pickles of more than tensors, compiled libraries, opaque objects, operators outside torch's own, and
    expressions (sympy evaluates them, guards are compiled) that are more than the arithmetic of sizes.

    Raises:
        FeatmaskError: as above, or the archive shows two readers different members.
    """
    for name, read in _records(path).items():
        if name.startswith("data/aotinductor/"):
            raise FeatmaskError(f"{path} holds a compiled library ({name}), which is not run; {YOURSELF}")
        if name.endswith(".pt") or name in MISNAMED:
            _check_tensors(path, name, read())
        elif name.endswith(".json") or name.startswith("models/"):
            _check_json(path, name, read())


def _records(path: Path) -> dict[str, Callable[[], bytes]]:
    """Members by name, as torch's reader sees them; a file that Python's reader sees otherwise is refused."""
    archive = zipfile.ZipFile(path)
    names = archive.namelist()
    try:
        reader: Any = torch._C.PyTorchFileReader(str(path))  # type: ignore[attr-defined,unused-ignore]
    except RuntimeError:  # torch < 2.8 wrote programs without a root folder, and torch reads those with zipfile
        if len(set(names)) != len(names):
            raise FeatmaskError(f"{path} is damaged or tampered with: it has two members of one name") from None
        return {name: partial(archive.read, name) for name in names}
    records = list(reader.get_all_records())
    root = names[0].partition("/")[0]
    if len(set(names)) != len(names) or sorted(f"{root}/{name}" for name in records) != sorted(names):
        raise FeatmaskError(f"{path} is damaged or tampered with: its table of members is not consistent")
    return {name: partial(reader.get_record, name) for name in records}


def _check_tensors(path: Path, name: str, content: bytes) -> None:
    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # whatever the restricted unpickler stumbles on
        raise FeatmaskError(
            f"{path}: {name} is a pickle of more than tensors and would run code; {YOURSELF}"
        ) from error


def _check_json(path: Path, name: str, content: bytes) -> None:
    try:
        found = _suspicious(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise FeatmaskError(f"{path}: {name} is not readable JSON: {error}") from error
    if found is not None:
        raise FeatmaskError(f"{path}: {name} could run code of its author by {found[:200]}; {YOURSELF}")


def _suspicious(root: Any) -> str | None:
    """The first thing in a program's JSON that is more than a graph of torch's operators."""
    open_ends = [root]
    while open_ends:
        node = open_ends.pop()
        if isinstance(node, list):
            open_ends += node
        elif isinstance(node, dict):
            for key, value in node.items():
                if not _harmless(key, value, node):
                    return f"{key} = {value!r}"
            open_ends += node.values()
    return None


def _harmless(key: str, value: Any, node: dict[str, Any]) -> bool:
    if key == "target" and "inputs" in node:  # a call's; a signature's target is the name of a weight
        return OPERATOR.fullmatch(str(value)) is not None
    return key not in HARMLESS or HARMLESS[key](value)


def is_arithmetic(text: str) -> bool:
    """Whether a text is an expression over sizes: numbers, symbols, sympy's classes, and ``L['x'].size()[0]``."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return not re.search(r"[#\\\n]", text) and all(_sizes_only(node) for node in ast.walk(tree))


def _sizes_only(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = node.func
        return isinstance(called, ast.Attribute) or (isinstance(called, ast.Name) and called.id[:1].isupper())
    if isinstance(node, ast.Attribute):
        return node.attr == "size"
    if isinstance(node, ast.Name):
        return not node.id.startswith("__")
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.fullmatch(r"\w+", node.value) is not None
    return isinstance(node, ARITHMETIC)


HARMLESS: dict[str, Callable[[Any], bool]] = {
    "use_pickle": lambda value: not value,
    "path_name": lambda value: re.fullmatch(r"(weight|tensor)_\d+", str(value)) is not None,
    "as_operator": lambda value: OPERATOR.fullmatch(str(value)) is not None,
    "expr_str": lambda value: is_arithmetic(str(value)),
    "guards_code": lambda value: all(is_arithmetic(str(guard)) for guard in value),
    # torch's pytrees import the modules that these two name
    "in_spec": lambda value: "__enum__" not in str(value) and "default_factory" not in str(value),
    "out_spec": lambda value: "__enum__" not in str(value) and "default_factory" not in str(value),
}

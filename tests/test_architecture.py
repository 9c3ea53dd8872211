"""The house: imports point down only, modules stay small, and the core needs torch and numpy alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "featmask"
MODULES = sorted(SOURCE.rglob("*.py"))
#: Floors from the top down; a module may import what stands on a lower floor, or in its own folder.
FLOORS = (
    ("cli",),
    ("study",),
    ("jobs", "doctor"),
    ("classification", "reid"),
    ("training", "evaluation", "report"),
    ("recipe", "data", "models", "retrieval", "drawing"),
    ("family",),
    ("layers", "insert", "attacks"),
    ("functional", "records"),
    ("masking", "stats"),
    ("utils",),
    ("errors",),
)
FLOOR = {folder: number for number, floor in enumerate(FLOORS) for folder in floor}


def imported(path: Path) -> set[str]:
    """Dotted names of our own modules that a file imports, also inside functions; type-checking ones are left out."""
    package = path.relative_to(SOURCE).parts[:-1]
    tree = ast.parse(path.read_text())
    ignored = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and id(node) not in ignored:
            base = ".".join(package[: len(package) - (node.level - 1)])
            module = ".".join(filter(None, [base, node.module]))
            for alias in node.names:
                inner = ".".join(filter(None, [module, alias.name]))
                found.add(inner if inner in NAMES else module)
    # whoever imports a module runs the files of the packages that it lies in, but for those that run already
    parts = [name.split(".") for name in found]
    found |= {
        ".".join(name[:count]) for name in parts for count in range(1, len(name)) if [*package][:count] != name[:count]
    }
    return found - {""}


def name_of(path: Path) -> str:
    """``attacks.ball``; of a package's own file the package's name."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in MODULES}
IMPORTS = {name: imported(path) for name, path in NAMES.items()}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_imports_point_down(name):
    top = name.partition(".")[0]
    if not top:
        return
    for other in IMPORTS[name]:
        there = other.partition(".")[0]
        assert there == top or FLOOR[there] > FLOOR[top], f"{name} may not import {other}"


def test_no_circles():
    """Depth first over all modules; a package's own file counts as a module."""
    done, path = set(), []

    def visit(name: str) -> None:
        if name in done:
            return
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        path.append(name)
        for other in sorted(IMPORTS[name]):
            visit(other)
        done.add(path.pop())

    for name in sorted(NAMES):
        if name:
            visit(name)


def test_few_modules_at_the_top_and_every_folder_has_a_floor():
    assert len(list(SOURCE.glob("*.py"))) <= 5
    assert {name.partition(".")[0] for name in NAMES} - {""} == set(FLOOR)


def test_a_recipe_keeps_its_type():
    """No code asks which field a recipe or a task is of; the registry of fields alone knows them."""
    for path in MODULES:
        text = path.read_text()
        assert "assert isinstance(recipe" not in text
        assert path == SOURCE / "study" / "fields.py" or 'task == "reid"' not in text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_stay_small(path):
    assert len(path.read_text().splitlines()) <= 260


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


REFUSE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
"""


def test_the_core_imports_torch_and_numpy_alone():
    blocked = ("torchvision", "timm", "accelerate", "pydantic", "yaml", "sklearn", "rich", "matplotlib", "scipy")
    code = f"""
blocked = {blocked}
{REFUSE}
import torch, featmask as fm
model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
fm.attach(model, fm.LocalFeatureMasking(1.0))
print(model(torch.randn(2, 3, 16, 16)).shape)
try:
    fm.build_layer("dropblock")
except fm.FeatmaskError as error:
    print(error)
"""
    assert run(code).splitlines() == [
        "torch.Size([2, 8, 14, 14])",
        "this needs the package 'torchvision', which is not installed; install it with: pip install 'featmask[train]'",
    ]


def test_training_needs_no_pictures_and_a_comparison_says_so_before_it_starts():
    code = f"""
blocked = ("matplotlib", "jinja2")
{REFUSE}
import featmask.cli.terminal, featmask.study.run, featmask.errors
try:
    import featmask.study.comparing
except featmask.errors.MissingExtraError as error:
    print(error)
"""
    assert run(code).strip().endswith("install it with: pip install 'featmask[report]'")


def test_help_does_not_load_torch():
    code = "import sys, featmask.cli; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert run(code).split() == ["False", "False"]


def test_records_and_pages_do_not_load_torch():
    names = [
        f"featmask.{name}" for name in NAMES if name.partition(".")[0] in ("records", "report", "drawing", "stats")
    ]
    code = f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    assert run(code).split() == ["False"]


def test_the_wings_are_apart():
    """No module of a field knows another field, or the registry above them."""
    for name, others in IMPORTS.items():
        for wing, apart in (("classification", ("reid", "study")), ("reid", ("classification", "study"))):
            if name.partition(".")[0] == wing:
                assert not {other for other in others if other.partition(".")[0] in apart}, name

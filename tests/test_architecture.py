"""The house: imports point down only, modules stay small, and the core needs torch and numpy alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "featmask"
MODULES = sorted(SOURCE.rglob("*.py"))
#: From the top down; a module may import what stands below it, or beside it in its own folder.
ORDER = [
    "cli", "comparison", "jobs", "pictures", "experiment", "tasks", "terminal", "report", "stats", "evaluation",
    "training", "adversarial", "sampling", "defences", "checkpointing", "optim", "schedules", "runlog", "recipe",
    "losses", "attacks", "retrieval", "data", "models", "metrics", "environment", "devices", "progress", "insert",
    "family", "layers", "functional", "masking", "grey", "results", "gallery", "files", "modes", "sizes",
    "processes", "source", "errors",
]  # fmt: skip


def imports(path: Path) -> set[str]:
    """Names of our own modules that a file imports, relative to the package, type-checking ones left out."""
    package = path.relative_to(SOURCE).parts[:-1]
    found = set()
    tree = ast.parse(path.read_text())
    ignored = [
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node not in ignored:
            base = package[: len(package) - (node.level - 1)] if node.level > 1 else package
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {".".join([*base, name]).split(".")[0] for name in names if name != "__version__"}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path):
    top = path.relative_to(SOURCE).with_suffix("").parts[0]
    if top == "__init__":
        return
    place = ORDER.index(top)
    for name in imports(path):
        assert name == top or ORDER.index(name) > place, f"{top} may not import {name}"


def test_attacks_know_neither_data_nor_models_nor_training():
    for path in (SOURCE / "attacks").glob("*.py"):
        assert imports(path) <= {"attacks", "errors", "grey", "progress"}


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
import featmask.terminal, featmask.experiment, featmask.errors
try:
    import featmask.comparison
except featmask.errors.MissingExtraError as error:
    print(error)
"""
    assert run(code).strip().endswith("install it with: pip install 'featmask[report]'")


def test_help_does_not_load_torch():
    code = "import sys, featmask.cli; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert run(code).split() == ["False", "False"]


def test_the_report_does_not_load_torch():
    assert run("import sys, featmask.report; print('torch' in sys.modules)").split() == ["False"]

"""Which code trained and measured: a digest, so that figures of one version are not taken for another's.

It is of what runs, the syntax without comments and docstrings, so that a reworded sentence orphans no finished run;
and of what one field uses, so that work on re-identification leaves the runs of classifiers alone.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

#: What plans, shows and tells: it changes no weight and no figure.
SHOWS = frozenset({"cli", "doctor", "drawing", "jobs", "report", "stats", "utils.progress", "utils.source"})
#: Where training and measuring a run begins, beside the field's own task and recipe.
RUN = "study.run"


@lru_cache(maxsize=8)
def code_version(field: str) -> str:
    """Eight hexadecimal digits of every module that a run of this field (a recipe's ``task``) depends on."""
    home = Path(__file__).parents[1]
    wings = {path.parent.name for path in home.glob("*/recipe.py")}
    left_out = SHOWS | (wings - {field})
    found, waiting = dict[str, str](), [RUN, f"{field}.task", f"{field}.recipe"]
    while waiting:
        name = waiting.pop()
        path = _file(home, name)
        if path is None or name in found or {name, name.partition(".")[0]} & left_out:
            continue
        if path.name == "__init__.py":  # a registry may find its modules by itself: a package counts whole
            waiting += [f"{name}.{module.stem}" for module in path.parent.glob("[!_]*.py")]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        waiting += _imported(tree, name.split(".") if path.name == "__init__.py" else name.split(".")[:-1])
        found[name] = _running(tree)
    digest = hashlib.sha256()
    for name, text in sorted(found.items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:8]


def _file(home: Path, name: str) -> Path | None:
    place = home / Path(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _imported(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Dotted names that may be modules of ours, imports inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            module = ".".join(filter(None, base))
            if module:  # the package itself has every name and needs none of them
                yield from (module, *(f"{module}.{alias.name}" for alias in node.names))


def _running(tree: ast.Module) -> str:
    """The code alone, in one layout."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:] or [ast.Pass()]
    return ast.unparse(tree)

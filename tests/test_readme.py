"""What the README says can be done, can be done."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from featmask.cli.application import app
from featmask.study.fields import parse_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
GUIDE = (ROOT / "docs" / "reid.md").read_text()
ROBUSTNESS = (ROOT / "docs" / "robustness.md").read_text()
COMPARING = (ROOT / "docs" / "comparing.md").read_text()
COMMANDS: list[str] = re.findall(
    r"featmask (?:compare|train|evaluate|doctor|report|masks|points|attack|ranking|data) [^`\n#]*",
    README + GUIDE + ROBUSTNESS + COMPARING,
)


def test_the_three_lines_mask_a_model():
    import timm
    import torch

    code = next(block for kind, block in BLOCKS if kind == "python" and "fm.attach" in block)
    assert len([line for line in code.splitlines() if line.strip()]) == 3
    names: dict[str, object] = {"timm": timm}
    exec(code, names)
    import featmask as fm
    from featmask.insert import attached

    ((where, layer),) = attached(names["model"])
    assert where == "conv1"
    assert isinstance(layer, fm.LocalFeatureMasking)
    model = names["model"].eval()
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 10)


def test_the_recipe_in_it_is_valid():
    block = next(block for kind, block in BLOCKS if kind == "yaml")
    recipe = parse_recipe(yaml.safe_load(block), "README.md")
    assert recipe.method("dropblock").at == "layer3"
    (block,) = re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL)
    guide = parse_recipe(yaml.safe_load(block), "reid.md")
    assert guide.under("erasing").augment.erasing == 0.5


def test_the_methods_beyond_the_paper_are_valid():
    (methods,) = re.findall(r"```yaml\n(.*?)```", COMPARING, flags=re.DOTALL)
    recipe = parse_recipe({"name": "x", "data": {"name": "digits"}, "model": {"name": "resnet8"},
                           "train": {"epochs": 6}, **yaml.safe_load(methods)}, "comparing.md")  # fmt: skip
    assert recipe.method("strongest").layer == "lfm_strongest"
    assert recipe.method("ramp").schedule.kind == "ramp"
    assert recipe.method("several").at == ("stem", "layer1")


def test_the_suite_and_the_methods_of_the_guide_to_robustness_are_valid(tmp_path):
    from featmask.classification.suites.user_suites import read_plan

    suite, methods = re.findall(r"```yaml\n(.*?)```", ROBUSTNESS, flags=re.DOTALL)
    (tmp_path / "mine.yaml").write_text(suite)
    assert len(read_plan(tmp_path / "mine.yaml").attacks) == 6
    smoke = yaml.safe_load((ROOT / "recipes" / "smoke.yaml").read_text())
    recipe = parse_recipe(smoke | yaml.safe_load(methods), "robustness.md")
    assert recipe.under("lfm_trades").train.adversarial.beta == 6


def test_files_and_options_that_it_names_exist():
    assert len(COMMANDS) >= 6
    named = re.findall(r"(?:recipes/)?(\w+\.yaml)`? \|", README) + re.findall(
        r"recipes/(\w+\.yaml)", README + GUIDE + ROBUSTNESS
    )
    for name in set(named):
        assert (ROOT / "recipes" / name).is_file(), name
    for text, folder in ((README, ROOT), (GUIDE, ROOT / "docs"), (ROBUSTNESS, ROOT / "docs")):
        for link in re.findall(r"\]\(((?!http)[^)#]+)", text):
            assert (folder / link).exists(), link
    import typer

    verbs = typer.main.get_command(app).commands
    for command in COMMANDS:
        _, verb, *arguments = shlex.split(command)
        chosen = verbs[verb].commands[arguments[0]] if verb == "data" else verbs[verb]
        known = {option for parameter in chosen.params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= known, command


@pytest.mark.slow
def test_the_smoke_recipe_ends_with_a_report(tmp_path):
    command = [
        sys.executable,
        "-m",
        "featmask.cli",
        "compare",
        str(ROOT / "recipes" / "smoke.yaml"),
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("report.html"))

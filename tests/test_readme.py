"""What the README shows works as shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from subprocesses import run_python
from typer.testing import CliRunner

from minilm_retrieval.cli.main import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [line for _, code in BLOCKS for line in code.splitlines() if line.startswith("minilm ")]


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_code_runs(code: str, tmp_path: Path) -> None:
    run_python(f"import os\nos.chdir({str(tmp_path)!r})\n{code}")


@pytest.mark.parametrize("line", COMMANDS)
def test_shown_command_exists_with_its_options(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    command = typer.main.get_command(app)
    known = {option for parameter in command.commands[name].params for option in parameter.opts}
    assert {argument for argument in arguments if re.fullmatch(r"--?[a-z].*", argument)} <= known


def test_every_command_is_shown() -> None:
    shown = {shlex.split(line)[1] for line in COMMANDS}
    registered = set(typer.main.get_command(app).commands)
    assert shown == registered
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0


def test_shown_make_targets_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake (demo|test|bench|soak|wheel)\b", README)) <= targets


def test_shown_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target

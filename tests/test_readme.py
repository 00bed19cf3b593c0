"""What the README and the pages of docs/ show works as shown."""

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
PAGES = {"README.md": README, **{f"docs/{page.name}": page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md")}}
BLOCKS = [block for page in PAGES.values() for block in re.findall(r"```(\w*)\n(.*?)```", page, re.DOTALL)]
PYTHON = [code for language, code in BLOCKS if language == "python"]
LINES = [line.removeprefix("$ ") for _, code in BLOCKS for line in code.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("minilm ")]


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_code_runs(code: str, tmp_path: Path) -> None:
    run_python(f"import os\nos.chdir({str(tmp_path)!r})\n{code}")


@pytest.mark.parametrize("line", COMMANDS)
def test_shown_command_exists_with_its_options(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    command = typer.main.get_command(app).commands[name]
    if name == "eval":
        command = command.commands[arguments.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
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
    for name, page in PAGES.items():
        for target in re.findall(r"\]\(([^)#]+)\)", page):
            assert ((ROOT / name).parent / target).exists(), target

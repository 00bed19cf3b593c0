"""Commands as a shell user runs them: in processes of their own, or in this one where that would show no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from stores import TOPICS
from subprocesses import clean_environment
from typer.testing import CliRunner

from minilm_retrieval.cli.main import app


def minilm(*arguments: str, folder: Path, stdin: str | None = None, **environment: str) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "minilm_retrieval", *arguments],
        cwd=folder,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=120,
        env=clean_environment({"COLUMNS": "200", "TERM": "dumb", **environment}),
        check=False,
    )


def topic_files(directory: Path) -> Path:
    """Write a text file for each topic into the folder `texts` of a directory, and return the directory."""
    (directory / "texts").mkdir()
    for number, text in enumerate(TOPICS):
        (directory / "texts" / f"{number}.txt").write_text(text)
    return directory


# Chroma keeps a database open by its path as it was given; one in another folder must not have the same.
CHROMA = ("--path", "{folder}/chroma")


def called(*arguments: str) -> Any:
    """Run a command in this process; `{folder}` in its arguments is the present one."""
    named = [argument.replace("{folder}", str(Path.cwd())) for argument in arguments]
    result = CliRunner().invoke(app, named, env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result

"""The scripts in benchmarks/ fit the library they measure."""

from __future__ import annotations

from pathlib import Path

import pytest
from subprocesses import run_python

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("script", sorted(file.stem for file in BENCHMARKS.glob("*.py")))
def test_a_script_can_be_imported(script: str) -> None:
    run_python(f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); import {script}")

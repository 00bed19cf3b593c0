"""The scripts in benchmarks/ fit the library they measure."""

from __future__ import annotations

from pathlib import Path

from subprocesses import run_python

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_each_script_can_be_imported() -> None:
    scripts = sorted(file.stem for file in BENCHMARKS.glob("*.py"))
    assert len(scripts) > 10
    # One process for all: what they import themselves takes most of the time.
    run_python(f"import sys\nsys.path.insert(0, {str(BENCHMARKS)!r})\nimport {', '.join(scripts)}")

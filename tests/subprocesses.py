"""Run Python in a process of its own, with a limit after which it counts as hanging."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import minilm_retrieval

_ROOT = Path(minilm_retrieval.__file__).parents[1]
_PRIVATE = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "MINILM_")


def run_python(script: str, *arguments: str, timeout: float = 120, **environment: str) -> str:
    """Run a script and return its standard output; fail the test if it fails or hangs.

    The process sees none of this one's settings for the Hugging Face hub, proxies or this library, only those given.
    """
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script), *arguments],
        env=clean_environment(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _kill_session(process)
        pytest.fail(f"the process still ran after {timeout} seconds: {process.communicate()[1][-2000:]}")
    if process.returncode:
        _kill_session(process)
        pytest.fail(f"the process ended with status {process.returncode}:\n{output[-2000:]}\n{errors[-4000:]}")
    return output


def clean_environment(changes: dict[str, str]) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PRIVATE) and not name.lower().endswith("_proxy")
    }
    paths = [str(_ROOT), *filter(None, [inherited.get("PYTHONPATH")])]
    return inherited | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"} | changes


def _kill_session(process: subprocess.Popen[str]) -> None:
    """End the process and the children that it left, which would keep its pipes open."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            return
    else:
        process.kill()

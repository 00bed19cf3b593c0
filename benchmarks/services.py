"""The services that `serving.py` compares, each started as a process of its own on a free port."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from limits import short_texts

from minilm_retrieval.bench.texts import build_text_sets
from minilm_retrieval.model import load_model

TEXTS = ("sentences", "pieces")
_PIECES = 2640
_START_SECONDS = 180.0
_HERE = Path(__file__).parent


def load_texts(kind: str) -> list[str]:
    """Return different short texts.

    Args:
        kind: ``"sentences"``, the short ones of `compare.py`, which are about as long as each other; or ``"pieces"`` of
            5 to 10 words, of which the longest has ten times the usual tokens.
    """
    if kind == "pieces":
        return list(itertools.islice(short_texts(0), _PIECES))
    sizes = {"short": 660, "mixed": 60, "long": 10, "queries": 60}
    return build_text_sets(load_model().tokenizer.count, sizes)["short"].texts


@dataclass(frozen=True)
class Service:
    """How to start a service, and where it takes requests.

    Attributes:
        command: With ``{port}`` in the place of the port.
        base: Of the OpenAI API, below the address.
        probe: A path that answers when the service is ready.
    """

    command: tuple[str, ...]
    base: str = "/v1"
    probe: str = "/v1/models"
    environment: dict[str, str] = field(default_factory=dict)


def services(model: Path, threads: int, infinity: str | None, precisions: list[str]) -> dict[str, Service]:
    """Return the services to compare; infinity where its command is given."""
    module, quiet = (sys.executable, "-m", "minilm_retrieval"), ("--log-level", "warning")
    ours = {
        f"minilm serve, {precision}": Service(
            (*module, "serve", "--port", "{port}", *quiet, "--threads", str(threads), "--precision", precision),
            probe="/ready",
        )
        for precision in precisions
    }
    few = {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    peers = {
        "FastAPI + sentence-transformers": Service(
            (sys.executable, str(_HERE / "plain_service.py"), str(model), "{port}", str(threads)), environment=few
        )
    }
    if infinity:
        peers["infinity (torch)"] = Service(
            (
                *(infinity, "v2", "--model-id", str(model), "--engine", "torch", "--device", "cpu"),
                *("--port", "{port}", "--url-prefix", "/v1", "--no-bettertransformer", "--log-level", "error"),
            ),
            environment={**few, "DO_NOT_TRACK": "1"},
        )
    return {**ours, **peers}


@contextmanager
def running(service: Service) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a service, wait until it is ready, give its base URL and process, and stop it.

    Raises:
        RuntimeError: It did not get ready.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen(
        [part.replace("{port}", port) for part in service.command],
        env={**os.environ, **service.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(process, f"http://127.0.0.1:{port}{service.probe}")
        yield f"http://127.0.0.1:{port}{service.base}", process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(map(str, process.args))} ended with status {process.returncode}")  # type: ignore[arg-type]
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise RuntimeError(f"{address} did not answer within {_START_SECONDS:g} s")

"""A server of this library in a process of its own, on a free port of this machine."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from subprocesses import clean_environment

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


@dataclass
class RunningServer:
    """A server that takes requests.

    Attributes:
        process: It; a test may stop or kill it.
        log: The lines that it wrote to standard error so far.
        url: Its address, without a path.
        port: Its port.
    """

    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def running_server(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[RunningServer]:
    """Run `minilm serve` with these options until the block ends, and make sure that it then stops in good order.

    The process sees none of this one's settings for the hub, proxies or this library, only those in `environment`. It
    must be ready within a minute, and must end with status 0 at SIGTERM; what the test ended itself is left alone.
    """
    server = RunningServer(
        subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "minilm_retrieval", "serve", "--port", "0", *arguments],
            env=clean_environment(dict(environment or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
    )
    reader = threading.Thread(target=_read, args=(server,), daemon=True)
    reader.start()
    try:
        _await_ready(server)
        yield server
        if server.process.poll() is None:
            server.process.terminate()
            try:
                status = server.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pytest.fail(_told(f"the server still ran {_STOP_SECONDS:g} s after SIGTERM", server))
            if status:
                pytest.fail(_told(f"the server ended with status {status}", server))
    finally:
        server.process.kill()
        server.process.wait()
        reader.join()
        assert server.process.stderr is not None
        server.process.stderr.close()


def _read(server: RunningServer) -> None:
    assert server.process.stderr is not None
    for line in server.process.stderr:
        server.log.append(line.rstrip("\n"))


def _await_ready(server: RunningServer) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends:
        if server.process.poll() is not None:
            pytest.fail(_told(f"the server ended with status {server.process.returncode}", server))
        server.url = server.url or _address(server.log)
        if server.url and _ready(server.port):
            return
        time.sleep(0.05)
    pytest.fail(_told(f"the server was not ready within {_START_SECONDS:g} s", server))


def _ready(port: int) -> bool:
    # Not by way of the user's proxy.
    with httpx.Client(trust_env=False) as client:
        return client.get(f"http://127.0.0.1:{port}/ready").status_code == 200


def _address(log: list[str]) -> str:
    """Return the address that the server says it listens on; empty if it said none yet."""
    found = (re.fullmatch(r"Serving (http://\S+:\d+)/v1", line) for line in list(log))
    return next((match[1] for match in found if match), "")


def _told(what: str, server: RunningServer) -> str:
    return "\n".join([what, *server.log[-40:]])

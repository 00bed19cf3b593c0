"""The other end of ``worker.py``: start a process, ask it, end it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from minilm_retrieval.errors import BenchmarkError

FloatArray = npt.NDArray[np.float32]

_WORKER = Path(__file__).with_name("worker.py")
_SECONDS_TO_END = 10
_ERROR_LINES = 15


class WorkerProcess:
    """A process that holds one embedder, pinned as this process is.

    Args:
        maker: ``"module:function"``, which gives the embedder.
        arguments: Its arguments.
        threads: The thread budget, which every pool that reads one from the environment is told.
        path: Where else to find modules.

    Raises:
        BenchmarkError: From any method, if the embedder could not be loaded or failed.
    """

    def __init__(self, maker: str, arguments: Sequence[str], threads: int, path: Path | None = None) -> None:
        self._called = " ".join((maker, *arguments))
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - see close()
        self._process = subprocess.Popen(  # noqa: S603 - this file's neighbour, by this interpreter
            [sys.executable, str(_WORKER), maker, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env=_environment(threads, path),
        )

        self._requests, self._answers = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)

    def seconds(self, texts: list[str]) -> float:
        """Embed texts in one call and return how long it took."""
        return float(self._ask("embed", texts)["seconds"])

    def vectors(self, texts: list[str]) -> FloatArray:
        """Embed texts and return the vectors, one row a text."""
        content = base64.b64decode(self._ask("embed", texts, keep=True)["vectors"])
        return np.frombuffer(content, dtype="<f4").reshape(len(texts), -1)

    def query_seconds(self, texts: list[str]) -> list[float]:
        """Embed texts one after the other as queries and return how long each took."""
        return [float(seconds) for seconds in self._ask("queries", texts)["seconds"]]

    def peak_memory(self) -> int:
        """Return the most memory the process ever had resident, in bytes."""
        return int(self._ask("peak_memory", [])["bytes"])

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self._requests.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._log.close()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, do: str, texts: list[str], keep: bool = False) -> dict[str, Any]:
        # Where the pipe is broken, _receive reports what the process said before it ended.
        with suppress(BrokenPipeError):
            self._requests.write(json.dumps({"do": do, "texts": texts, "keep": keep}) + "\n")
            self._requests.flush()
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            said = "\n".join(self._log.read().splitlines()[-_ERROR_LINES:])
            raise BenchmarkError(f"The process of {self._called} ended with status {self._process.returncode}:\n{said}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _environment(threads: int, path: Path | None) -> dict[str, str]:
    """Return the environment of a worker: the thread budget for every pool that reads one, and no network.

    Compiled bytecode may be written, so that a package that was installed without it is not compiled at every start.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    environment.update({name: str(threads) for name in pools})
    environment.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "ANONYMIZED_TELEMETRY": "False"})
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(path), environment.get("PYTHONPATH"))))
    return environment

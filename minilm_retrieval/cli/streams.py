"""Standard output that takes every text, and says so when it can be written no more; streams that are closed."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from minilm_retrieval.errors import MiniLMError

# As Python itself has it for standard error.
_ESCAPED = "backslashreplace"
_LAST_STANDARD = 2


class OutputError(MiniLMError, OSError):
    """Standard output cannot be written."""


class _Output(io.BufferedWriter):
    """Bytes for standard output; what fails here cannot be taken for a failure of another file."""

    def write(self, data: Any) -> int:
        with self._failures():
            return super().write(data)

    def flush(self) -> None:
        with self._failures():
            super().flush()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What is left would fail again when Python ends, with a traceback.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if isinstance(error, BrokenPipeError):
                raise
            raise OutputError(f"standard output cannot be written: {error.strerror or error}") from error


def prepare_output() -> None:
    """Have standard output escape what its encoding lacks, and raise :class:`OutputError` when it cannot be written.

    Where it is closed, or standard error is, what is written there goes nowhere. For the start of a process that is a
    command; elsewhere the streams are somebody else's.
    """
    _replace_closed()
    output = sys.stdout
    if not isinstance(output, io.TextIOWrapper):
        return
    settings: dict[str, Any] = {
        "encoding": output.encoding,
        "errors": output.errors if _is_utf8(output) and output.errors != "strict" else _ESCAPED,
        "line_buffering": output.line_buffering,
        "write_through": output.write_through,
    }
    stream: Any = output.detach()
    sys.stdout = io.TextIOWrapper(
        _Output(stream.detach() if isinstance(stream, io.BufferedWriter) else stream), **settings
    )


def _replace_closed() -> None:
    # Or the next file that is opened takes the number of a closed stream, and gets what others print there.
    while (free := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD:
        pass
    os.close(free)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, io.TextIOWrapper(io.FileIO(os.devnull, "w"), encoding="utf-8", errors=_ESCAPED))


def flush_output() -> None:
    """Write what standard output still holds.

    Raises:
        OutputError: It cannot be written.
    """
    sys.stdout.flush()


def as_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, in signs that standard output has."""
    line = json.dumps(value, ensure_ascii=not _is_utf8(sys.stdout), indent=indent)
    # Half characters, from file names and arguments that are not UTF-8, are escaped as JSON itself does.
    return line.encode("utf-8", _ESCAPED).decode("utf-8")


def _is_utf8(stream: TextIO | None) -> bool:
    return codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name == "utf-8"

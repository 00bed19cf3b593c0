"""A process that holds one embedder and measures it on request: JSON lines in, JSON lines out.

    python worker.py MODULE:FUNCTION [ARGUMENT...]

The function is called with the arguments and gives the embedder, anything with the attributes ``embed``, for a list of
texts, and ``embed_query``, for one; then each line in is a request, and a line out answers it:

    {"do": "embed", "texts": [...]}   -> {"seconds": s}; with "keep": true also {"vectors": base64 float32}
    {"do": "queries", "texts": [...]} -> {"seconds": [s, ...]}, one text after the other
    {"do": "peak_memory"}             -> {"bytes": n}

The process ends when its input does. This file is run by its path, so that nothing is imported but what is measured.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO


def main(maker: str, *arguments: str) -> None:
    """Load the embedder, then answer requests until the input ends."""
    answers = _take_over_stdout()
    module, _, function = maker.partition(":")
    peer = getattr(import_module(module), function)(*arguments)
    for line in sys.stdin:
        request = json.loads(line)
        _send(answers, _answer(peer, request["do"], request.get("texts", []), request.get("keep", False)))


def _answer(peer: Any, do: str, texts: list[str], keep: bool) -> dict[str, Any]:
    if do == "peak_memory":
        return {"bytes": _peak_memory()}
    if do == "queries":
        return {"seconds": [_time_query(peer, text) for text in texts]}
    start = perf_counter()
    vectors = peer.embed(texts)
    seconds = perf_counter() - start
    return {"seconds": seconds, "vectors": _encoded(vectors)} if keep else {"seconds": seconds}


def _time_query(peer: Any, text: str) -> float:
    start = perf_counter()
    peer.embed_query(text)
    return perf_counter() - start


def _encoded(vectors: Any) -> str:
    import base64

    import numpy as np

    return base64.b64encode(np.asarray(vectors, dtype="<f4").tobytes()).decode("ascii")


def _peak_memory() -> int:
    """Return the most memory this process ever had resident, in bytes; 0 where the system does not tell."""
    with suppress(OSError, StopIteration):
        # Linux keeps ru_maxrss over exec, so a child would begin with its parent's.
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _take_over_stdout() -> TextIO:
    """Keep standard output for answers; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _send(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    # The directory of this file, whose modules are not meant to be found by their bare names.
    del sys.path[0]
    main(*sys.argv[1:])

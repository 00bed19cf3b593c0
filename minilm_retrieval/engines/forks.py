"""``fork`` beside engines: what a child must never free, and at which moments a process must not be copied."""

from __future__ import annotations

import ctypes

# Imported here so that its handlers of a fork, which take its lock, are called behind those of this module.
import logging  # noqa: F401
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from minilm_retrieval.errors import EngineError

# Longer than loading takes, unless the model is being downloaded or the thread that forks is itself waited for.
_PATIENCE = 30.0
_POLL = 0.005

_loading: set[int] = set()
_interrupted = False


def keep_for_ever(thing: object) -> None:
    """Keep an object alive even when the interpreter ends, by a reference that nobody gives back.

    For objects of a parent whose threads do not exist in the child: to free them would be to wait for those threads.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


@contextmanager
def loading() -> Iterator[None]:
    """Have a fork wait until this thread has loaded: its locks, such as those of imports, would stay locked in a child.

    Raises:
        EngineError: This process is a child that was forked at such a moment all the same.
    """
    if _interrupted:
        raise EngineError(
            "This process was forked while another thread of its parent loaded an engine, so that it cannot load one. "
            "Call warmup() before you fork, or start processes with multiprocessing's 'spawn' method."
        )
    thread = threading.get_ident()
    if thread in _loading:
        yield
        return
    _loading.add(thread)
    try:
        yield
    finally:
        _loading.discard(thread)


def _wait_for_loading() -> None:
    until = time.monotonic() + _PATIENCE
    while _loading - {threading.get_ident()} and time.monotonic() < until:
        time.sleep(_POLL)


def _note_interrupted() -> None:
    global _interrupted
    others = _loading - {threading.get_ident()}
    _interrupted = _interrupted or bool(others)
    _loading.difference_update(others)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_for_loading, after_in_child=_note_interrupted)

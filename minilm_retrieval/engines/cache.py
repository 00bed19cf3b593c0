"""The process's engines: each compiled once, shared by all threads, and made anew in a forked child."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module

from minilm_retrieval.engines.engine import Engine
from minilm_retrieval.engines.forks import keep_for_ever, loading
from minilm_retrieval.errors import EngineError
from minilm_retrieval.model import Model, load_model


@dataclass(frozen=True)
class EngineKey:
    """What makes two engines different.

    Attributes:
        model: A directory or hub id, ``None`` for all-MiniLM-L6-v2.
        backend: ``"openvino"`` or ``"torch"``.
        device: A torch device; ``"cpu"`` for OpenVINO.
        precision: ``"float32"``, ``"bfloat16"`` or ``"int8"``.
        threads: Threads to run; ``None`` leaves torch's own number.
        normalize: Whether vectors get unit length.
    """

    model: str | None
    backend: str
    device: str
    precision: str
    threads: int | None
    normalize: bool


_Place = tuple[EngineKey, Model]

# Of others' engines that nobody uses any more so many stay, those used last: embedders may be made anew for each call.
_MOST_IDLE = 4


class _Cache:
    """Engines and the embedders that use them. A child of ``fork`` gets a new one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engines: dict[_Place, Engine] = {}
        # In the order of their last use.
        self.users: dict[_Place, weakref.WeakSet[object]] = {}
        # Those too that only a call that has not ended holds.
        self.made: weakref.WeakSet[Engine] = weakref.WeakSet()


_cache = _Cache()
_torch_lost = False


def get_engine(key: EngineKey, user: object, model: Model) -> Engine:
    """Return the process's engine for this key, made on first use.

    Args:
        key: Which engine.
        user: Who uses it, held weakly; see :func:`close_engine`.
        model: The loaded model, whose files may have changed since it was loaded for others.
    """
    cache, place = _cache, (key, model)
    with cache.lock:
        if place not in cache.engines:
            idle = [other for other, users in cache.users.items() if not users]
            # Of the same model before its files were written again, none is wanted.
            older = [other for other in idle if other[0] == key]
            for other in older + [other for other in idle if other[0] != key][:-_MOST_IDLE]:
                del cache.engines[other], cache.users[other]
            with loading():
                cache.engines[place] = engine = _make(key, model)
            cache.users[place] = weakref.WeakSet()
            cache.made.add(engine)
        # Those used last stand last.
        users = cache.users[place] = cache.users.pop(place)
        users.add(user)
        return cache.engines[place]


def close_engine(key: EngineKey, user: object) -> None:
    """Let go of an engine; its memory is freed when no other live user is left."""
    with _cache.lock:
        for place in [place for place in _cache.users if place[0] == key]:
            users = _cache.users[place]
            users.discard(user)
            if not users:
                del _cache.engines[place], _cache.users[place]


def load_with_runtime(key: EngineKey) -> Model:
    """Load an engine's model, and import its runtime meanwhile."""
    with loading(), _imported_meanwhile(key.backend):
        return load_model(key.model)


@contextmanager
def _imported_meanwhile(backend: str) -> Iterator[None]:
    """Import an engine's runtime beside the verification of the model, most of which leaves the interpreter free."""
    module = f"minilm_retrieval.engines.{backend}"
    # When the interpreter ends, a new thread would be waited for in vain.
    if module in sys.modules or sys.is_finalizing():
        yield
        return

    def import_engine() -> None:
        # What fails here fails again, and is told, where the engine is made.
        with suppress(Exception):
            import_module(module)

    thread = threading.Thread(target=import_engine)
    # There may be no more threads; then it is imported afterwards.
    with suppress(RuntimeError):
        thread.start()
    try:
        yield
    finally:
        if thread.ident is not None:
            thread.join()


def _make(key: EngineKey, model: Model) -> Engine:
    if key.backend == "torch":
        if _torch_lost:
            raise EngineError(
                "This process was forked from one that used torch, whose threads do not survive that. Start processes "
                "with multiprocessing's 'spawn' method, or use backend='openvino'."
            )
        from minilm_retrieval.engines.torch import TorchEngine

        return TorchEngine(model, key.device, key.precision, key.threads, key.normalize)
    from minilm_retrieval.engines.openvino import OpenVINOEngine

    return OpenVINOEngine(model, key.precision, key.threads or 1, key.normalize)


def _reset_after_fork() -> None:
    """Forget the parent's engines: their threads do not exist in the child.

    They are never freed, since that would wait for those threads.
    """
    global _cache, _torch_lost
    _torch_lost = _torch_lost or any(key.backend == "torch" for key, _ in _cache.engines)
    keep_for_ever((_cache, list(_cache.made)))
    _cache = _Cache()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)

"""Threads for asynchronous calls of a store, apart from asyncio's own few, which a server that hangs would take up."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, TypeVar

T = TypeVar("T")
_MOST = 32


@cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST, thread_name_prefix="minilm-store")


# A forked process has none of the threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_executor.cache_clear)


async def in_store_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Return what work gives, called in a thread with the caller's context variables."""
    call = partial(contextvars.copy_context().run, work, *arguments)
    return await asyncio.get_running_loop().run_in_executor(_executor(), call)

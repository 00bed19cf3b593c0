"""Work that blocks, in threads that nothing waits for at the end: a store that hangs does not keep the server alive."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Return what work gives; cancelled, the work goes on, and what it gives is dropped."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(settled: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            settled(value)

    def run() -> None:
        settled: Callable[[Any], None] = future.set_result
        value: Any
        try:
            value = work(*arguments)
        except BaseException as error:
            settled, value = future.set_exception, error
        # The loop may be closed by then.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, settled, value)

    threading.Thread(target=run, name="minilm-blocking", daemon=True).start()
    return await future

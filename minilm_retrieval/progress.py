"""A progress bar on standard error, for people; silent where nobody watches, and for work that is done in a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_DELAY_SECONDS = 2.0


@contextmanager
def progress_bar(
    description: str, total: int | None, shown: bool, unit: str = "texts"
) -> Iterator[Callable[[int], None]]:
    """Give a function that advances a bar by so many steps; the bar appears when the work has taken two seconds.

    Args:
        description: What is done, such as ``"Embedding"``.
        total: How many steps there will be; ``None`` if nobody knows.
        shown: ``False`` for a function that does nothing.
        unit: What a step is, for the rate.
    """
    if not shown:
        yield lambda steps: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    count = "{task.completed:,.0f}" if total is None else "{task.completed:,.0f} of {task.total:,.0f}"
    columns: list[ProgressColumn] = [
        TextColumn(f"{{task.description}} {count}"),
        TextColumn(f"{{task.fields[rate]:,.0f}} {unit}/s"),
    ]
    columns += [TimeElapsedColumn()] if total is None else [BarColumn(), TimeRemainingColumn(), TextColumn("left")]
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(description, total=total, rate=0.0)
    started = time.monotonic()
    done = 0

    def advance(steps: int) -> None:
        nonlocal done
        done += steps
        progress.update(task, completed=done, rate=done / max(time.monotonic() - started, 1e-9))

    timer = threading.Timer(_DELAY_SECONDS, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield advance
    finally:
        timer.cancel()
        timer.join()
        progress.stop()

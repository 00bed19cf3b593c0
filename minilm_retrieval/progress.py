"""A progress bar on standard error, for people; silent where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(description: str, total: int | None, shown: bool) -> Iterator[Callable[[int], None]]:
    """Give a function that advances a bar by so many steps.

    Args:
        description: What is counted, such as ``"Embedding"``.
        total: How many steps there will be; ``None`` if nobody knows.
        shown: ``False`` for a function that does nothing.
    """
    if not shown:
        yield lambda steps: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    count = "{task.completed:,.0f}" if total is None else "{task.completed:,.0f} of {task.total:,.0f}"
    columns: list[ProgressColumn] = [TextColumn(f"{{task.description}} {count}")]
    columns += [TimeElapsedColumn()] if total is None else [BarColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda steps: progress.advance(task, steps)

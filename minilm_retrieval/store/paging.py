"""Read a collection page by page, without losing a record to those who delete others meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from minilm_retrieval.errors import StoreError
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.hits import NO_FILTER, Filter
from minilm_retrieval.store.limits import page_size

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api.types import GetResult

# Of the last records read, so many times as many are remembered as are read at a time.
_REMEMBERED = 4
_FEWEST_REMEMBERED = 64
# Steps back grow up to half of what is remembered, so that none goes too far while the other half is still there.
_FIRST_STEP_BACK = 16


def read_pages(collection: Collection, size: int | None = None, **selection: Any) -> Iterator[GetResult]:
    """Yield Chroma's answers to ``collection.get(**selection)``, so many records at a time; none is empty.

    Chroma counts from the first record, so that the others move up when one is deleted. Each page therefore begins
    with a record that was read before; where it does not, reading goes back. No record comes twice.

    Raises:
        StoreError: A page cannot be read, or nearly all that were read last were deleted at once.
    """
    most = page_size(collection._client)
    limit = min(size or most, most)
    filtered = any(selection.get(name) for name in ("where", "where_document"))
    remembered = max(_REMEMBERED * limit, _FEWEST_REMEMBERED)
    seen: deque[frozenset[str]] = deque()
    offset = overlap = 0
    step, forgotten = _FIRST_STEP_BACK, False
    while True:
        rows = min(limit + overlap, max(most, 2))
        with store_errors(f"reading the collection {collection.name!r}", filtered):
            page = collection.get(limit=rows, offset=offset - overlap, **selection)
        ids = page["ids"]
        if overlap and not (ids and _was_read(ids[0], seen)):
            offset, step = max(0, offset - step), min(2 * step, remembered // 2)
            overlap = 1 if offset else 0
            if not offset and forgotten:
                raise StoreError(
                    f"More records of the collection {collection.name!r} were deleted at once than can be followed "
                    "while it is read. Try again."
                )
            continue
        new = [row for row, id in enumerate(ids) if not _was_read(id, seen)]
        offset += len(ids) - overlap
        overlap, step = 1, _FIRST_STEP_BACK
        if new:
            seen.append(frozenset(ids[row] for row in new))
            while sum(map(len, seen)) - len(seen[0]) >= remembered:
                seen.popleft()
                forgotten = True
            yield page if len(new) == len(ids) else _rows(page, new)
        if len(ids) < rows:
            return


def pages(
    collection: Collection, size: int, filter: Filter = NO_FILTER
) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
    """Yield the ids and stored vectors that pass a filter, so many at a time, in memory for one page.

    Yields:
        ``(ids, vectors)``: n ids and an array of shape ``(n, dimension)``.
    """
    for page in read_pages(collection, size, include=["embeddings"], **filter.arguments()):
        # A server sends float32 numbers as decimals, which without the type would be read as others, nearly the same.
        yield page["ids"], np.asarray(page["embeddings"], dtype=np.float32)


def _was_read(id: str, seen: deque[frozenset[str]]) -> bool:
    return any(id in page for page in seen)


def _rows(page: GetResult, rows: list[int]) -> GetResult:
    """Return some rows of a page, all that it includes."""
    columns = {"ids", *page["included"]}
    chosen: dict[str, Any] = dict(page)
    for name in columns & page.keys():
        column = chosen[name]
        if column is not None:
            chosen[name] = column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows]
    return cast("GetResult", chosen)

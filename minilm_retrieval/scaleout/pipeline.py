"""Lots through Ray Data: files are read by tasks, lots are worked on by a pool of workers, outcomes stream back."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minilm_retrieval.arrow import arrow
from minilm_retrieval.ingest.loading.decoding import Encoding
from minilm_retrieval.scaleout.cluster import Workers
from minilm_retrieval.scaleout.lots import Group, Item, lots
from minilm_retrieval.scaleout.outcomes import Outcome

Work = Callable[[list[Item]], Outcome]
_LOT, _OUTCOME = "lot", "outcome"


class LotWorker:
    """What Ray makes of the work on a lot in each of its workers: a table of lots in, one of outcomes out.

    Args:
        make: Makes the work, once a worker.
        arguments: Of it.
    """

    def __init__(self, make: Callable[..., Work], arguments: Sequence[Any]) -> None:
        self._work = make(*arguments)

    def __call__(self, table: Any) -> Any:
        """Work on the lots of a table."""
        pyarrow, _ = arrow()
        return pyarrow.table({_OUTCOME: [_packed(self._work(_unpacked(lot.as_py()))) for lot in table[_LOT]]})


def lots_of_files(data: Any, groups: Sequence[Group], text_field: str, encoding: Encoding | None, readers: int) -> Any:
    """Return a dataset of the lots of files; one task reads a group.

    Args:
        data: The module ``ray.data``.
        groups: Of files.
        text_field: Name of the text's field in records.
        encoding: Of the files' text, ``None`` to find out.
        readers: Most tasks at the same time.
    """

    def read(table: Any) -> Iterator[Any]:
        pyarrow, _ = arrow()
        for group in table["item"]:
            for lot in lots(_unpacked(group.as_py()).items(text_field, encoding)):
                yield pyarrow.table({_LOT: [_packed(lot)]})

    dataset = data.from_items([_packed(group) for group in groups], override_num_blocks=len(groups))
    # Reading takes little of a processor, all of which the workers may have taken; a task that asked for one would wait
    # for ever.
    return dataset.map_batches(
        read,
        batch_size=1,
        batch_format="pyarrow",
        compute=data.TaskPoolStrategy(size=min(readers, len(groups))),
        num_cpus=0,
    )


def outcomes(
    ray: Any, data: Any, lots: Any, workers: Workers, make: Callable[..., Work], *arguments: Any
) -> Iterator[Outcome]:
    """Have a pool of workers work on a dataset of lots, and yield the outcomes as they come.

    Ray starts a worker that died anew and gives it the lots again that it had.

    Args:
        ray: The module ``ray``.
        data: The module ``ray.data``.
        lots: Of :func:`lots_of_files`, or with such a column.
        workers: How many and how large.
        make: Makes the work in each worker, with ``arguments``.
        arguments: Of it.
    """
    results = lots.map_batches(
        LotWorker,
        fn_constructor_args=(make, arguments),
        batch_size=1,
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(size=workers.counted(ray)),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
    )
    for row in results.iter_rows():
        yield _unpacked(row[_OUTCOME])


def _packed(value: Any) -> bytes:
    """Return a value as bytes, for another process of this program; a table's columns would change its types."""
    return pickle.dumps(value)


def _unpacked(data: bytes) -> Any:
    # As Ray itself hands objects on.
    return pickle.loads(data)  # noqa: S301 - made by `_packed`, in a process of this program

"""Vectors for the texts of a Ray dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.arrow import arrow
from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.scaleout.cluster import Workers, ray_modules
from minilm_retrieval.whole_numbers import at_least

if TYPE_CHECKING:
    from ray.data import Dataset

_BATCH_TEXTS = 1024


class ColumnEmbedder:
    """Adds a column of vectors to tables, in a worker.

    Args:
        like: Has the options; the worker has an embedder of its own.
        workers: Say which share of the machine is the worker's.
        text_column: Name of the column of texts.
        vector_column: Name of the column to add, or replace.
    """

    def __init__(self, like: MiniLMEmbedder, workers: Workers, text_column: str, vector_column: str) -> None:
        self._embedder = workers.embedder(like)
        self._text_column = text_column
        self._vector_column = vector_column

    def __call__(self, table: Any) -> Any:
        """Return the table with the vectors of its texts."""
        pyarrow, _ = arrow()
        vectors = self._embedder.encode(table[self._text_column].to_pylist())
        kind = pyarrow.list_(pyarrow.float32(), self._embedder.dimension)
        column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.ravel(vectors)), type=kind)
        if self._vector_column in table.column_names:
            table = table.drop_columns([self._vector_column])
        return table.append_column(self._vector_column, column)


def embed_dataset(
    dataset: Dataset,
    text_column: str = "text",
    *,
    vector_column: str = "embedding",
    embedder: MiniLMEmbedder | None = None,
    workers: Workers | None = None,
    batch_size: int = _BATCH_TEXTS,
) -> Dataset:
    """Add a column of vectors to a Ray dataset: of 384 float32 numbers each, the same as anywhere else.

    Nothing is computed before the result is read, as Ray does it; then it streams, in bounded memory. Within a batch
    texts are sorted by length and put together under a budget of tokens.

    Args:
        dataset: Of rows with a column of texts.
        text_column: Its name.
        vector_column: Name of the column to add; one of that name is replaced.
        embedder: Its options are those of every worker's; ``None`` for all-MiniLM-L6-v2 with its defaults. With
            ``on_truncate="warn"`` the warnings are in the workers' logs, which Ray prints.
        workers: How many embed, and on what; ``None`` for one a processor of the cluster.
        batch_size: Rows that a worker takes at a time.

    Returns:
        The dataset with the column: a list of float32 of fixed size in Arrow and Parquet, arrays in numpy and pandas.

    Raises:
        InvalidOptionError: There is no such column, or an option is out of range.
        MissingExtraError: Ray is not installed.
    """
    ray, data = ray_modules()
    workers = workers or Workers()
    batch_size = at_least("batch_size", batch_size, 1)
    columns = dataset.columns()
    if columns is not None and text_column not in columns:
        raise InvalidOptionError(f"The dataset has no column {text_column!r}; its columns are {', '.join(columns)}.")
    return dataset.map_batches(
        ColumnEmbedder,
        fn_constructor_args=(embedder or MiniLMEmbedder(), workers, text_column, vector_column),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(size=workers.counted(ray)),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
    )

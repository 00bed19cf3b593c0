"""The Parquet file of an exported collection: its columns, written and read in bounded memory.

=============  ===========================================================================
column         content
=============  ===========================================================================
``id``         string, never null
``document``   string, null where a record has no text
``metadata``   string: a JSON object, which keeps types; null where there is none
``uri``        string, null where a record has no address
``embedding``  fixed-size list of float32; of an empty collection a list of variable size
=============  ===========================================================================

The schema's metadata has, under ``minilm_retrieval``, a JSON object with the version of this format, the collection's
name, space, index settings, metadata, and the name and configuration of its embedding function. A file of another tool
needs only ``id`` and ``embedding``. Everything in a file is somebody else's claim until it has been checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minilm_retrieval.arrow import arrow
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import MiniLMError, TransferError
from minilm_retrieval.maintenance.records import Record
from minilm_retrieval.whole_files import whole_file

FORMAT = 1
KEY = b"minilm_retrieval"
_GROUP = 8192
TEXTS = ("document", "metadata", "uri")


@contextmanager
def arrow_errors(what: str) -> Iterator[None]:
    """Raise what pyarrow and the file system say as an error of this library.

    Raises:
        TransferError: Something went wrong.
    """
    pyarrow, _ = arrow()
    try:
        yield
    except MiniLMError:
        raise
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        raise TransferError(f"{what}: {error}") from error


def write_file(file: Path, description: Mapping[str, Any], pages: Iterable[Sequence[Record]]) -> int:
    """Write records with their vectors; the file is there whole or, after whatever interruption, not at all.

    Args:
        file: Where to; a file of that name is replaced at the end.
        description: What to note in the schema, without the version of the format.
        pages: The records, in memory a few pages at a time.

    Returns:
        How many records were written.

    Raises:
        TransferError: It cannot be written.
    """
    arrow()
    if file.is_dir():
        raise TransferError(f"{file} cannot be written: it is a directory.")
    with arrow_errors(f"{file} cannot be written"), whole_file(file) as unfinished, unfinished.open("wb") as stream:
        return write_stream(stream, description, pages)


def write_stream(stream: BinaryIO, description: Mapping[str, Any], pages: Iterable[Sequence[Record]]) -> int:
    """Write records with their vectors to an open file, and return how many; see :func:`write_file`."""
    pyarrow, parquet = arrow()
    noted = {KEY: json.dumps({"format": FORMAT, **description}, ensure_ascii=False, sort_keys=True)}
    count = 0
    groups = _groups(pages)
    first = next(groups, [])
    schema = _schema(pyarrow, len(vector_of(first[0])) if first else None).with_metadata(noted)
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for group in chain([first], groups):
            writer.write_batch(_to_arrow(pyarrow, schema, group), row_group_size=_GROUP)
            count += len(group)
    return count


def _groups(pages: Iterable[Sequence[Record]]) -> Iterator[list[Record]]:
    group: list[Record] = []
    for page in pages:
        group.extend(page)
        if len(group) >= _GROUP:
            yield group
            group = []
    if group:
        yield group


def _schema(pyarrow: Any, dimension: int | None) -> Any:
    numbers = pyarrow.list_(pyarrow.float32(), -1 if dimension is None else dimension)
    texts = [pyarrow.field(name, pyarrow.string()) for name in TEXTS]
    return pyarrow.schema(
        [pyarrow.field("id", pyarrow.string(), False), *texts, pyarrow.field("embedding", numbers, False)]
    )


def _to_arrow(pyarrow: Any, schema: Any, records: Sequence[Record]) -> Any:
    numbers = pyarrow.array(np.concatenate([vector_of(record) for record in records] or [np.zeros(0, np.float32)]))
    kind = schema.field("embedding").type
    vectors = (
        pyarrow.FixedSizeListArray.from_arrays(numbers, type=kind) if len(records) else pyarrow.array([], type=kind)
    )
    metadatas = [
        None if record.metadata is None else json.dumps(record.metadata, ensure_ascii=False, allow_nan=False)
        for record in records
    ]
    columns = [
        pyarrow.array([record.id for record in records], pyarrow.string()),
        pyarrow.array([record.document for record in records], pyarrow.string()),
        pyarrow.array(metadatas, pyarrow.string()),
        pyarrow.array([record.uri for record in records], pyarrow.string()),
        vectors,
    ]
    return pyarrow.record_batch(columns, schema=schema)


def vector_of(record: Record) -> FloatArray:
    """Return the vector of a record that must have one."""
    if record.vector is None:
        raise TransferError(f"The record {record.id!r} has no vector.")
    return record.vector

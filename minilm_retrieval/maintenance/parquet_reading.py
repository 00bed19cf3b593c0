"""Read Parquet with a collection, a file or a folder of them; nothing is believed until it has been checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minilm_retrieval.arrow import arrow
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import TransferError
from minilm_retrieval.ingest.metadata import unstorable
from minilm_retrieval.maintenance.parquet import FORMAT, KEY, TEXTS, arrow_errors, vector_of
from minilm_retrieval.maintenance.records import Record

_BATCH = 1000


@dataclass(frozen=True)
class CheckedFile:
    """A file, or a folder of files, of which every record was found to be sound.

    Attributes:
        file: Where it is.
        count: How many records it holds.
        dimension: Numbers in a vector, ``None`` where there is no record.
        description: What its schema says, ``None`` for a file of another tool.
    """

    file: Path
    count: int
    dimension: int | None
    description: Mapping[str, Any] | None

    @classmethod
    def of(cls, file: Path) -> CheckedFile:
        """Read a whole file, in bounded memory but for its ids, which must differ.

        Raises:
            TransferError: It cannot be read, or is not what it should be; the message says what, and of which record.
        """
        description = _common_description(file, _files(file))
        dimension = None
        seen: set[str] = set()
        for page in _all_pages(file):
            for record in page:
                found = len(vector_of(record))
                if dimension not in (None, found):
                    raise TransferError(
                        f"{file}: the vector of {record.id!r} has {found} numbers, those before it {dimension}."
                    )
                dimension = found
                if record.id in seen:
                    raise TransferError(f"{file}: the id {record.id!r} comes twice.")
                seen.add(record.id)
        return cls(file, len(seen), dimension, description)

    def pages(self) -> Iterator[list[Record]]:
        """Yield the records, some at a time.

        Raises:
            TransferError: The file has changed since it was checked, and a record is not what it should be.
        """
        return _all_pages(self.file)


def _files(place: Path) -> list[Path]:
    """Return the file, or those of a folder in sorted order."""
    if not place.is_dir():
        return [place]
    files = sorted(place.glob("*.parquet"))
    if not files:
        raise TransferError(f"{place} is a folder without Parquet files.")
    return files


def _common_description(place: Path, files: list[Path]) -> Mapping[str, Any] | None:
    """Return what the schemas say, which must be the same in all files."""
    descriptions = []
    for file in files:
        with _opened(file) as reader:
            _check_columns(file, reader.schema_arrow)
            descriptions.append(_description(file, reader.schema_arrow))
        if descriptions[-1] != descriptions[0]:
            raise TransferError(f"{place}: {files[0].name} and {file.name} say that they are of different collections.")
    return descriptions[0]


def _all_pages(place: Path) -> Iterator[list[Record]]:
    for file in _files(place):
        yield from _pages(file)


def _pages(file: Path) -> Iterator[list[Record]]:
    row = 0
    with _opened(file) as reader:
        names = [name for name in ("id", *TEXTS, "embedding") if name in reader.schema_arrow.names]
        for batch in reader.iter_batches(batch_size=_BATCH, columns=names):
            yield _from_arrow(file, batch, row)
            row += batch.num_rows


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    _, parquet = arrow()
    with arrow_errors(f"{file} cannot be read as a whole Parquet file"), parquet.ParquetFile(file) as reader:
        yield reader


def _check_columns(file: Path, schema: Any) -> None:
    pyarrow, _ = arrow()
    kinds = pyarrow.types
    for name in ("id", *TEXTS, "embedding"):
        if name not in schema.names:
            if name in TEXTS:
                continue
            listed = ", ".join(schema.names)
            raise TransferError(f"{file} has no column {name!r}; it needs 'id' and 'embedding', and has: {listed}.")
        kind = schema.field(name).type
        if name == "embedding":
            listing = kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind)
            fits = listing and kinds.is_floating(kind.value_type)
        else:
            fits = kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_null(kind)
        if not fits:
            wanted = "a list of floating-point numbers" if name == "embedding" else "a string"
            wanted += " with a JSON object" if name == "metadata" else ""
            raise TransferError(f"{file}: the column {name!r} is {kind}; expected {wanted}.")


def _description(file: Path, schema: Any) -> Mapping[str, Any] | None:
    noted = (schema.metadata or {}).get(KEY)
    if noted is None:
        return None
    try:
        description = json.loads(noted)
        version = description["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TransferError(f"{file}: what its schema says about the collection is not readable: {error}.") from error
    if version != FORMAT:
        raise TransferError(f"{file} has the format {version!r}; this version of minilm-retrieval reads {FORMAT}.")
    return dict(description)


def _from_arrow(file: Path, batch: Any, row: int) -> list[Record]:
    nothing = [None] * batch.num_rows
    texts = {name: batch.column(name).to_pylist() if name in batch.schema.names else nothing for name in TEXTS}
    records = []
    for number, id in enumerate(batch.column("id").to_pylist()):
        if not isinstance(id, str) or not id:
            raise TransferError(f"{file}: the record at row {row + number} has no id.")
        vector = _checked_vector(file, id, batch.column("embedding")[number])
        metadata = _metadata(file, id, texts["metadata"][number])
        records.append(Record(id, texts["document"][number], metadata, texts["uri"][number], vector))
    return records


def _checked_vector(file: Path, id: str, value: Any) -> FloatArray:
    numbers = value.values if value.is_valid else None
    if numbers is None or len(numbers) == 0 or numbers.null_count:
        raise TransferError(f"{file}: the record {id!r} has no vector, or one with gaps.")
    with np.errstate(over="ignore"):
        vector = np.asarray(numbers.to_numpy(zero_copy_only=False)).astype(np.float32)
    if not np.isfinite(vector).all():
        raise TransferError(f"{file}: the vector of {id!r} has numbers that are not finite in float32.")
    return vector


def _metadata(file: Path, id: str, text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TransferError(f"{file}: the metadata of {id!r} is not JSON: {error}.") from error
    if not isinstance(metadata, dict):
        raise TransferError(f"{file}: the metadata of {id!r} must be a JSON object, got {text[:100]}")
    wrong = next((wrong for key, value in metadata.items() if (wrong := unstorable(key, value))), "")
    if wrong:
        raise TransferError(f"{file}: the metadata of {id!r} cannot be stored by Chroma: {wrong}")
    return metadata or None

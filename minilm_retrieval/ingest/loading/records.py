"""Files of records into documents: JSONL, CSV and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from textwrap import shorten
from typing import Any, BinaryIO, TypeVar

from minilm_retrieval.arrow import arrow
from minilm_retrieval.errors import DocumentError
from minilm_retrieval.ingest.documents import Document, Failure
from minilm_retrieval.ingest.loading.decoding import Encoding, decoded_lines

JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson"})
CSV_DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET_SUFFIXES = frozenset({".parquet"})
RECORD_SUFFIXES = JSONL_SUFFIXES | CSV_DELIMITERS.keys() | PARQUET_SUFFIXES
_ID_FIELDS = ("id", "_id")
_CSV_FIELD_LIMIT = 2**31 - 1
_PARQUET_ROWS = 1000
# A wrong option makes every record of a file fail; so many of them say enough.
_MOST_FAILURES = 100
_SHOWN_CHARACTERS = 200
_UTF8 = Encoding("utf-8")

_T = TypeVar("_T")


def record_documents(
    source: str, suffix: str, stream: BinaryIO, text_field: str, encoding: Encoding = _UTF8
) -> Iterator[Document | Failure]:
    """Yield a document for each record of a file of records, and a failure for each that has none.

    Args:
        source: Id of the file; its documents have ``#`` and the record's id after it.
        suffix: One of :data:`RECORD_SUFFIXES`.
        stream: The file, at its beginning; for Parquet one that can seek.
        text_field: Name of the text's field.
        encoding: Of the text; Parquet's is always UTF-8.

    Raises:
        DocumentError: The file as a whole is not what its suffix says.
        MissingExtraError: It is Parquet, and pyarrow is not installed.
    """
    place = "line"
    if suffix in PARQUET_SUFFIXES:
        place, records = "row", parquet_records(stream, text_field)
    elif suffix in JSONL_SUFFIXES:
        records = jsonl_records(decoded_lines(stream, encoding, newline="\n"))
    else:
        records = csv_records(decoded_lines(stream, encoding, newline=""), CSV_DELIMITERS[suffix], text_field)
    failures = 0
    for number, record in records:
        try:
            yield _record_document(source, f"{place}-{number}", record, text_field, encoding)
        except DocumentError as error:
            failures += 1
            if failures <= _MOST_FAILURES:
                # Of the whole file: the document that this record was before is not gone.
                yield Failure(source, f"{place} {number} {error}")
    if failures > _MOST_FAILURES:
        yield Failure(source, f"{failures - _MOST_FAILURES} more records failed, {failures} in all")


def jsonl_records(lines: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """Yield the values of JSONL with the numbers of their lines; in the place of one that is no JSON, the error."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, DocumentError(f"is not JSON: {error}")


def csv_records(
    lines: Iterator[str], delimiter: str, text_field: str | None = None, *, quoted: bool = True
) -> Iterator[tuple[int, Any]]:
    """Yield the rows of CSV with the numbers of their lines; in the place of one with too many fields, the error.

    Args:
        lines: With their ends.
        delimiter: Between fields.
        text_field: A column that there has to be.
        quoted: Whether a quotation mark encloses a field, or is a character as any other.

    Raises:
        DocumentError: There is no such column, several have one name, or it is not CSV.
    """
    reader = csv.DictReader(
        lines, delimiter=delimiter, strict=True, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    )
    header = _unlimited(reader, lambda: reader.fieldnames)
    if header is None:
        return
    if text_field is not None and text_field not in header:
        raise DocumentError(f"has no column {text_field!r}; its columns are {_shown(header)}")
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise DocumentError(f"has several columns of the name {_shown(repeated)}")
    while (row := _unlimited(reader, lambda: next(reader, None))) is not None:
        extra = list(row.pop(None, None) or ())
        # A column of no name, such as the one for row numbers, cannot be stored under one.
        row.pop("", None)
        yield reader.line_num, DocumentError(f"has more fields than the header: {_shown(extra)}") if any(extra) else row


def parquet_records(stream: BinaryIO, text_field: str) -> Iterator[tuple[int, Any]]:
    """Yield the rows of Parquet with their numbers, from 1; columns of vectors are left out, since they are no facts.

    Raises:
        DocumentError: There is no such column, or it is not a whole Parquet file.
        MissingExtraError: pyarrow is not installed.
    """
    pyarrow, parquet = arrow()
    try:
        with parquet.ParquetFile(stream) as reader:
            schema = reader.schema_arrow
            if text_field not in schema.names:
                raise DocumentError(f"has no column {text_field!r}; its columns are {_shown(schema.names)}")
            names = [field.name for field in schema if not _is_vectors(pyarrow.types, field.type)]
            number = 0
            for batch in reader.iter_batches(_PARQUET_ROWS, columns=names):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        raise DocumentError(f"is not a whole Parquet file: {error}") from error


def _is_vectors(types: Any, kind: Any) -> bool:
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and types.is_floating(kind.value_type))


def _shown(names: Iterable[str]) -> str:
    return shorten(", ".join(map(repr, names)), _SHOWN_CHARACTERS, placeholder=" ...")


def _unlimited(reader: csv.DictReader[str], read: Callable[[], _T]) -> _T:
    """Read with no limit to a field's length, and leave the limit, which is the whole process's, as it was."""
    limit = csv.field_size_limit(_CSV_FIELD_LIMIT)
    try:
        return read()
    except csv.Error as error:
        raise DocumentError(f"is not CSV near line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _record_document(source: str, place: str, record: Any, text_field: str, encoding: Encoding) -> Document:
    if isinstance(record, DocumentError):
        raise record
    if not isinstance(record, dict):
        raise DocumentError(f"is a {type(record).__name__}, expected an object with the field {text_field!r}")
    text = record.get(text_field)
    if text is None:
        found = "it is empty" if text_field in record else f"its fields are {_shown(record)}"
        raise DocumentError(f"has no text in the field {text_field!r}; {found}")
    if not isinstance(text, str):
        raise DocumentError(f"has no text in the field {text_field!r}; it is {type(text).__name__}, expected str")
    own_id = next((record[name] for name in _ID_FIELDS if record.get(name) not in (None, "")), place)
    metadata = {key: value for key, value in record.items() if key != text_field and key not in _ID_FIELDS}
    return Document(f"{source}#{own_id}", text, {**encoding.metadata, **metadata})

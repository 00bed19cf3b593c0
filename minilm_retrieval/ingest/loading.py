"""Documents from files and folders."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from minilm_retrieval.errors import DocumentError
from minilm_retrieval.ingest.documents import Document, Failure, Skipped

TEXT_SUFFIXES = frozenset({".txt", ".md", ".markdown", ".rst"})
SUFFIXES = TEXT_SUFFIXES | {".jsonl", ".csv"}
TEXT_FIELD = "text"
_ID_FIELDS = ("id", "_id")


def load_documents(
    paths: Iterable[str | os.PathLike[str]],
    text_field: str = TEXT_FIELD,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    gitignore: bool = True,
    encoding: str | None = None,
) -> Iterator[Document | Failure | Skipped]:
    """Read documents from files and folders, one at a time.

    Plain text, Markdown and reStructuredText give one document a file; JSONL gives one a line and CSV one a row, with
    the text in ``text_field``, an id in ``id`` or ``_id`` if there is one, and the other fields as metadata. Folders
    are read recursively in sorted order; hidden entries and other file types in them are passed over.

    Args:
        paths: Files and folders.
        text_field: Name of the text's field in JSONL and CSV.
        include: In folders, read the files that match one of these patterns, of whatever type.
        exclude: In folders, leave out what matches one of these patterns.
        gitignore: In folders, leave out what ``.gitignore`` files leave out.
        encoding: Of every file; ``None`` to find out for each.

    Yields:
        Documents whose id is the file's absolute path, with ``#`` and the record's id or line number for records; and
        a :class:`Failure` in place of each file, line or row that cannot be read.
    """
    for path in paths:
        for file in _files(Path(path)):
            if isinstance(file, Failure):
                yield file
            else:
                yield from _read_file(file, text_field)


def _files(path: Path) -> Iterator[Path | Failure]:
    if path.is_dir():
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                    yield Path(folder, name)
    elif not path.exists():
        yield Failure(str(path.resolve()), "no such file or folder")
    elif path.suffix.lower() not in SUFFIXES:
        known = ", ".join(sorted(SUFFIXES))
        yield Failure(str(path.resolve()), f"files ending in {path.suffix or 'nothing'} are not read; known: {known}")
    else:
        yield path


def _read_file(file: Path, text_field: str) -> Iterator[Document | Failure]:
    source = str(file.resolve())
    try:
        content = _decoded(file)
    except (OSError, DocumentError) as error:
        yield Failure(source, str(error))
        return
    suffix = file.suffix.lower()
    if suffix in TEXT_SUFFIXES:
        yield Document(source, content)
        return
    records = _jsonl_records(content) if suffix == ".jsonl" else _csv_records(content)
    try:
        for number, record in records:
            try:
                yield _record_document(source, number, record, text_field)
            except DocumentError as error:
                yield Failure(f"{source}#{number}", str(error))
    except csv.Error as error:
        yield Failure(source, f"is not CSV: {error}")


def _decoded(file: Path) -> str:
    data = file.read_bytes()
    if b"\0" in data:
        raise DocumentError("holds zero bytes, so it is not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"is not UTF-8 (byte {error.start}); convert it first") from error


def _jsonl_records(content: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                yield number, DocumentError(f"is not JSON: {error}")


def _csv_records(content: str) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.DictReader(StringIO(content, newline=""), restkey="", strict=True)
    for row in reader:
        extra = row.pop("", None)
        yield reader.line_num, DocumentError(f"has more fields than the header: {extra}") if extra else row


def _record_document(source: str, number: int, record: Any, text_field: str) -> Document:
    if isinstance(record, DocumentError):
        raise record
    if not isinstance(record, dict):
        raise DocumentError(f"is a {type(record).__name__}, expected an object with the field {text_field!r}")
    if not isinstance(record.get(text_field), str):
        raise DocumentError(f"has no text in the field {text_field!r}; its fields are {', '.join(map(str, record))}")
    own_id = next((record[name] for name in _ID_FIELDS if record.get(name) not in (None, "")), number)
    metadata = {key: value for key, value in record.items() if key != text_field and key not in _ID_FIELDS}
    return Document(f"{source}#{own_id}", record[text_field], metadata)

"""Lots of documents: what one worker takes as a whole. The same files give the same lots, on whatever cluster."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minilm_retrieval.ingest import Document, Failure, Skipped
from minilm_retrieval.ingest.comparison import GIVEN_BEFORE
from minilm_retrieval.ingest.loading.converter import CONVERTED_SUFFIXES
from minilm_retrieval.ingest.loading.decoding import Encoding
from minilm_retrieval.ingest.loading.readers import read_file
from minilm_retrieval.ingest.loading.walk import SourceFile
from minilm_retrieval.ingest.passage_ids import source_digest

Item = Document | Failure | Skipped
# Some seconds of one processor's embedding: little is done twice when a worker dies, and the writing at a lot's end,
# which nothing runs beside, is a small part of it.
_LOT_DOCUMENTS = 1000
_LOT_CHARACTERS = 400_000
# Files that one task reads one after the other.
_GROUP_BYTES = 16 << 20
_FILE_BYTES = 64 << 10
_CONVERTING = 20


@dataclass(frozen=True)
class FoundFile:
    """A file, where it is, and how large.

    Attributes:
        file: Which.
        size: In bytes, 0 where that is not known.
        filesystem: The pyarrow file system that it is on, ``None`` for those of the machine.
    """

    file: SourceFile
    size: int = 0
    filesystem: Any = None

    @classmethod
    def local(cls, file: SourceFile) -> FoundFile:
        """Return a file of this machine with its size."""
        try:
            return cls(file, os.stat(file.path).st_size)  # noqa: PTH116
        except OSError:
            # What is wrong with it is said where it is read.
            return cls(file)


@dataclass(frozen=True)
class Group:
    """Files that one task reads one after the other.

    Attributes:
        files: Which.
        filesystem: The pyarrow file system that they are on, ``None`` for those of the machine.
    """

    files: Sequence[SourceFile]
    filesystem: Any = None

    def items(self, text_field: str, encoding: Encoding | None) -> Iterator[Item]:
        """Yield the documents of the files; the second of one id in a file is a failure, as it is in indexing.

        Args:
            text_field: Name of the text's field in records.
            encoding: Of the files' text, ``None`` to find out.
        """
        open_file = None if self.filesystem is None else self.filesystem.open_input_file
        for file in self.files:
            seen: set[str] = set()
            for item in read_file(file, text_field, encoding, open_file):
                if isinstance(item, Document):
                    digest = source_digest(item.id)
                    if digest in seen:
                        yield Failure(item.id, GIVEN_BEFORE)
                        continue
                    seen.add(digest)
                yield item


def grouped(files: Iterable[FoundFile]) -> Iterator[Group]:
    """Group files, in order, into the work of one reading task each."""
    group: list[FoundFile] = []
    weight = 0
    for found in files:
        if group and (weight >= _GROUP_BYTES or found.filesystem is not group[0].filesystem):
            yield Group([member.file for member in group], group[0].filesystem)
            group, weight = [], 0
        converted = Path(found.file.path).suffix.lower() in CONVERTED_SUFFIXES
        group.append(found)
        weight += _FILE_BYTES + found.size * (_CONVERTING if converted else 1)
    if group:
        yield Group([member.file for member in group], group[0].filesystem)


def lots(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Group documents, in order, into lots bounded in number and characters."""
    lot: list[Item] = []
    characters = 0
    for item in items:
        lot.append(item)
        characters += len(item.text) if isinstance(item, Document) else 0
        if len(lot) >= _LOT_DOCUMENTS or characters >= _LOT_CHARACTERS:
            yield lot
            lot, characters = [], 0
    if lot:
        yield lot

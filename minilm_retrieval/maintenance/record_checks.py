"""Checks of ids, texts and metadata: is every source whole, and does every passage belong to one?"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minilm_retrieval.ingest.passage_ids import ID_PREFIX, PassageId, source_digest
from minilm_retrieval.maintenance.faults import Examples, Fault

INDEX_AGAIN = "Run `minilm index` again over the same files."
_COPY = "Run `minilm reembed`, which copies what can be read into a new collection."
_LEFT_ALONE = "No run replaces or removes them."
_DELETE = "Delete these records (collection.delete(ids=...)), then run `minilm index` again."
_UNPLACED = re.compile(rf"{ID_PREFIX}[0-9a-f]{{32}}")
# No real document has so many passages; an id that says so would only cost memory.
_MOST_PASSAGES = 10_000_000


class _Version:
    """The passages stored of one version of a source: one bit each."""

    def __init__(self, source: str, name: str, count: int) -> None:
        self.source, self.name, self.count = source, name, count
        self._bits = bytearray()

    def add(self, number: int) -> None:
        byte = number >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1 - len(self._bits)))
        self._bits[byte] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        byte = number >> 3
        return byte < len(self._bits) and bool(self._bits[byte] >> (number & 7) & 1)

    def stored(self) -> Iterator[str]:
        """Yield the ids of the passages that are there."""
        return (self._id(number) for number in range(self.count) if number in self)

    def missing(self) -> Iterator[str]:
        """Yield the ids of the passages that are not."""
        return (self._id(number) for number in range(self.count) if number not in self)

    def is_whole(self) -> bool:
        return next(self.missing(), None) is None

    def _id(self, number: int) -> str:
        return str(PassageId(self.source, self.name, number, self.count))


class RecordChecks:
    """Takes every record once, and keeps a few bytes of each.

    Args:
        check_sources: Whether sources that are paths of files must exist on this machine.

    Attributes:
        seen: How many records were taken.
        passages: How many of them are passages that this library indexed.
    """

    def __init__(self, check_sources: bool) -> None:
        self.seen = 0
        self.passages = 0
        self._check_sources = check_sources
        self._hashes = array("q")
        self._sources: dict[str, dict[tuple[str, int], _Version]] = {}
        self._foreign = Examples()
        self._unplaced = Examples()
        self._misplaced = Examples()
        self._gone = Examples()

    def add(self, id: str, document: str | None, metadata: Mapping[str, Any]) -> None:
        """Take a record."""
        self.seen += 1
        self._hashes.append(hash(id))
        passage = PassageId.parse(id)
        if passage is None or passage.count > _MOST_PASSAGES:
            if passage is not None or _UNPLACED.fullmatch(id):
                self._unplaced.add(id)
            return
        self.passages += 1
        source = metadata.get("source")
        versions = self._sources.get(passage.source)
        if not isinstance(source, str) or source_digest(source) != passage.source:
            self._foreign.add(id)
        elif versions is None and self._check_sources and _is_gone(source):
            self._gone.add(source)
        if versions is None:
            versions = self._sources[passage.source] = {}
        key = (passage.version, passage.count)
        if key not in versions:
            versions[key] = _Version(passage.source, *key)
        versions[key].add(passage.number)
        if not _fits(document, metadata.get("start"), metadata.get("end")):
            self._misplaced.add(id)

    def count_faults(self, before: int, after: int) -> Iterator[Fault]:
        """Yield what is wrong with the number of records that were taken, given the counts before and after."""
        if before != after:
            message = f"The collection changed from {before} to {after} records while it was verified."
            yield Fault("count", message, "Run `minilm verify` again while nothing writes to the collection.")
        elif self.seen != before:
            yield Fault("count", f"The store counts {before} records, and gives {self.seen}.", _COPY)
        repeated = self.seen - len(np.unique(np.frombuffer(self._hashes, dtype=np.int64)))
        if repeated:
            yield Fault("count", f"Records with the id of another one: {repeated}.", _COPY, total=repeated)

    def faults(self, source_of: Callable[[str], str]) -> Iterator[Fault]:
        """Yield what is wrong, when all records have been taken.

        Args:
            source_of: Gives the name of the source of a stored passage, for the messages.
        """
        yield from self._incomplete(source_of)
        if self._foreign:
            message = f"Passages whose metadata lacks the source that is in their id: {self._foreign.total}"
            yield Fault("orphan", f"{message}. {_LEFT_ALONE}", _DELETE, **self._foreign.fields())
        if self._unplaced:
            message = f"Passages whose id has an unknown form: {self._unplaced.total}"
            yield Fault("orphan", f"{message}. {_LEFT_ALONE}", _DELETE, **self._unplaced.fields())
        if self._gone:
            message = f"Sources whose files are gone: {self._gone.total}, such as {self._gone.worst()[0][0]}"
            remedy = "Run `minilm index ... --prune` over their folder, which removes what is no longer there."
            yield Fault("orphan", f"{message}.", remedy, **self._gone.fields())
        if self._misplaced:
            message = f"Passages whose start and end do not fit the length of their text: {self._misplaced.total}"
            yield Fault("offsets", f"{message}.", _DELETE, **self._misplaced.fields())

    def _incomplete(self, source_of: Callable[[str], str]) -> Iterator[Fault]:
        lacking = _Sources(
            "missing", "Sources that are not whole: {sources}, such as {example}; passages missing: {passages}."
        )
        torn = _Sources(
            "missing",
            "Sources with several versions, none of them whole: {sources}, such as {example}; passages missing from "
            "the fullest: {passages}.",
        )
        left = _Sources(
            "orphan",
            "Sources with part of another version beside a whole one, as an interrupted run leaves it: {sources}, such "
            "as {example}; passages left over: {passages}.",
        )
        doubled = _Sources(
            "orphan",
            "Sources with several whole versions, of which one is current: {sources}, such as {example}; passages in "
            "all of them: {passages}.",
        )
        for by_name in self._sources.values():
            versions = list(by_name.values())
            whole = [version for version in versions if version.is_whole()]
            if len(whole) > 1:
                doubled.add(versions, (id for version in whole for id in version.stored()))
            elif whole and len(versions) > 1:
                left.add(versions, (id for version in versions if version not in whole for id in version.stored()))
            elif not whole:
                fullest = min(versions, key=lambda version: sum(1 for _ in version.missing()))
                (lacking if len(versions) == 1 else torn).add(versions, fullest.missing())
        for group in (lacking, torn, left, doubled):
            if group.sources:
                yield group.fault(source_of)


class _Sources:
    """Sources with the same trouble."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        self.message = message
        self.sources = 0
        self.examples = Examples()
        self.witness = ""

    def add(self, versions: list[_Version], ids: Iterable[str]) -> None:
        """Add a source of these versions, and the ids of the passages that it is about."""
        self.sources += 1
        self.witness = self.witness or next(versions[0].stored())
        for id in ids:
            self.examples.add(id)

    def fault(self, source_of: Callable[[str], str]) -> Fault:
        message = self.message.format(
            sources=self.sources, passages=self.examples.total, example=source_of(self.witness)
        )
        return Fault(self.kind, message, INDEX_AGAIN, **self.examples.fields())


def _fits(document: str | None, start: Any, end: Any) -> bool:
    """Tell whether a passage's place is as long as its text."""
    whole = all(isinstance(place, int) and not isinstance(place, bool) for place in (start, end))
    return document is not None and whole and start >= 0 and end - start == len(document)


def _is_gone(source: str) -> bool:
    """Tell whether a source names a file of this machine that does not exist; ``#`` may begin a record's name."""
    path = Path(source)
    # An id such as "/docs/intro" of a website is no path of this machine.
    if not path.is_absolute() or len(path.parts) < 3 or _is_absent(str(Path(*path.parts[:2]))):
        return False
    pieces = source.split("#")
    return all(_is_absent("#".join(pieces[:count])) for count in range(1, len(pieces) + 1))


def _is_absent(path: str) -> bool:
    try:
        os.stat(path)  # noqa: PTH116 - Path.exists() raises where permission is lacking
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False

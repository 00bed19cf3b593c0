"""Checks of ids, texts and metadata: is every source whole, and does every passage belong to one?"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.ingest.passage_ids import ID_PREFIX, PassageId, source_digest
from minilm_retrieval.maintenance.faults import INDEX_AGAIN, REEMBED, Examples, Fault
from minilm_retrieval.maintenance.reading import attempt
from minilm_retrieval.maintenance.records import Record

if TYPE_CHECKING:
    from chromadb import Collection

_DELETE = f"Delete these records (collection.delete(ids=...)). {INDEX_AGAIN}"
_PRUNE = "Run `minilm index{collection}{model} --prune` over their folder, which removes what is no longer there."
_LEFT_ALONE = "No run replaces or removes them."
_UNPLACED = re.compile(rf"{ID_PREFIX}[0-9a-f]{{32}}")


class RecordChecks:
    """Takes every record once, and keeps a few dozen bytes of each.

    Args:
        collection: Whose records.
        check_sources: Whether sources that are paths of files must exist on this machine.

    Attributes:
        seen: How many records were taken.
        passages: How many of them are passages that this library indexed.
    """

    def __init__(self, collection: Collection, check_sources: bool) -> None:
        self.seen = 0
        self.passages = 0
        self._collection = collection
        self._check_sources = check_sources
        self._hashes = array("q")
        # The numbers of the passages of each version, and of how many, of each source.
        self._sources: dict[str, dict[tuple[str, int], set[int]]] = {}
        self._foreign = Examples()
        self._unplaced = Examples()
        self._misplaced = Examples()
        self._gone = Examples()

    def add(self, record: Record) -> None:
        """Take a record."""
        self.seen += 1
        self._hashes.append(hash(record.id))
        passage = PassageId.parse(record.id)
        if passage is None:
            if _UNPLACED.fullmatch(record.id):
                self._unplaced.add(record.id)
            return
        self.passages += 1
        metadata = record.metadata or {}
        source = metadata.get("source")
        if not isinstance(source, str) or source_digest(source) != passage.source:
            self._foreign.add(record.id)
        elif passage.source not in self._sources and self._check_sources and _is_gone(source):
            self._gone.add(source)
        versions = self._sources.setdefault(passage.source, {})
        versions.setdefault((passage.version, passage.count), set()).add(passage.number)
        if not _fits(record.document, metadata.get("start"), metadata.get("end")):
            self._misplaced.add(record.id)

    def count_faults(self, before: int, after: int) -> Iterator[Fault]:
        """Yield what is wrong with the number of records that were taken, given the counts before and after."""
        if before != after:
            message = f"The collection changed from {before} to {after} records while it was verified."
            yield Fault("count", message, "Run `minilm verify` again while nothing writes to the collection.")
        elif self.seen != before:
            yield Fault("count", f"The store counts {before} records, and gives {self.seen}.", REEMBED)
        repeated = self.seen - len(np.unique(np.frombuffer(self._hashes, dtype=np.int64)))
        if repeated:
            yield Fault("count", f"Records with the id of another one: {repeated}.", REEMBED, total=repeated)

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong, when all records have been taken."""
        yield from self._version_faults()
        if self._foreign:
            message = f"Passages whose metadata lacks the source that is in their id: {self._foreign.total}"
            yield Fault("orphan", f"{message}. {_LEFT_ALONE}", _DELETE, **self._foreign.fields())
        if self._unplaced:
            message = f"Passages whose id has an unknown form: {self._unplaced.total}"
            yield Fault("orphan", f"{message}. {_LEFT_ALONE}", _DELETE, **self._unplaced.fields())
        if self._gone:
            message = f"Sources whose files are gone: {self._gone.total}, such as {self._gone.worst()[0][0]}"
            yield Fault("orphan", f"{message}.", _PRUNE, **self._gone.fields())
        if self._misplaced:
            message = f"Passages whose start and end do not fit the length of their text: {self._misplaced.total}"
            yield Fault("offsets", f"{message}.", _DELETE, **self._misplaced.fields())

    def skipped(self) -> dict[str, str]:
        """Return the kinds of faults that could not be looked for, with the reason."""
        return {} if self.passages else dict.fromkeys(("missing", "orphan", "offsets"), "no passage of this library")

    def _version_faults(self) -> Iterator[Fault]:
        missing, surplus = Examples(), Examples()
        broken, doubled = [], []
        for source, versions in self._sources.items():
            whole = [version for version, numbers in versions.items() if len(numbers) == version[1]]
            if not whole:
                broken.append(source)
                fullest = min(versions, key=lambda version: version[1] - len(versions[version]))
                stored = versions[fullest]
                lacking = (number for number in range(fullest[1]) if number not in stored)
                missing.extend(_ids(source, fullest, lacking), fullest[1] - len(stored))
            elif len(versions) > 1:
                doubled.append(source)
                for version, numbers in versions.items():
                    if version not in whole or len(whole) > 1:
                        surplus.extend(_ids(source, version, sorted(numbers)), len(numbers))
        if broken:
            message = f"Sources of which no version is whole: {len(broken)}, such as {self._name(broken[0])}"
            yield Fault("missing", f"{message}; passages missing: {missing.total}.", INDEX_AGAIN, **missing.fields())
        if doubled:
            message = (
                f"Sources with passages of several versions, as an interrupted run leaves them: {len(doubled)}, such "
                f"as {self._name(doubled[0])}; passages that may not be of the current one: {surplus.total}."
            )
            yield Fault("orphan", message, INDEX_AGAIN, **surplus.fields())

    def _name(self, source: str) -> str:
        """Return the name of a source that passages are stored of."""
        version, numbers = next(iter(self._sources[source].items()))
        (id,) = _ids(source, version, [min(numbers)])
        page = attempt(
            self._collection, "reading a passage", lambda: self._collection.get(ids=[id], include=["metadatas"])
        )
        return str(((page["metadatas"] or [{}])[0] or {}).get("source", id))


def _ids(source: str, version: tuple[str, int], numbers: Iterable[int]) -> Iterator[str]:
    return (str(PassageId(source, version[0], number, version[1])) for number in numbers)


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

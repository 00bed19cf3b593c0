"""Which passages of the given documents does the collection lack, and which are left over?"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import DocumentError
from minilm_retrieval.ingest.documents import Document, Failure, Skipped
from minilm_retrieval.ingest.passages import CheckedDocument, Passage, PassageSplitter
from minilm_retrieval.ingest.report import IndexReport
from minilm_retrieval.ingest.stored import is_whole, stored_passages, stored_vectors
from minilm_retrieval.ingest.writer import Replacement

if TYPE_CHECKING:
    from chromadb import Collection

# One question to the store about so many documents costs hardly more than one about a single document; when documents
# come slowly, fewer are waited for.
_LOT_DOCUMENTS = 200
_LOT_CHARACTERS = 2_000_000
_LOT_SECONDS = 0.5
_END = object()
GIVEN_BEFORE = "a document of the same id was given before in this run; ids must be unique"


@dataclass(frozen=True)
class Lacking:
    """A passage that the collection lacks.

    Attributes:
        passage: The passage.
        replacement: Of its document.
        vector: That of a stored passage of the same document and text, ``None`` if there is none.
    """

    passage: Passage
    replacement: Replacement
    vector: FloatArray | None


class Checker:
    """Checks documents, and notes what cannot be stored.

    Args:
        splitter: Knows what can be.
        report: Takes failures and what is changed.

    Attributes:
        given: Source digests of the documents checked, as bytes; some hundred bytes of memory each.
    """

    def __init__(self, splitter: PassageSplitter, report: IndexReport) -> None:
        self.given: set[bytes] = set()
        self._splitter = splitter
        self._report = report

    def check(self, document: Any, number: int) -> CheckedDocument | None:
        """Return a document that can be stored; note one that cannot, and return ``None``.

        Raises:
            DocumentError: It is something other than a document.
        """
        if isinstance(document, Failure):
            self._report.failed.append(document)
            return None
        if isinstance(document, Skipped):
            self._report.skipped.append(document)
            return None
        if not isinstance(document, Document):
            raise DocumentError(
                f"Expected documents to be minilm_retrieval.Document, got {_full_name(type(document))} at position "
                f"{number}.{_made_of(document)}"
            )
        try:
            checked = self._splitter.check(document)
            digest = bytes.fromhex(checked.source)
            if digest in self.given:
                raise DocumentError(GIVEN_BEFORE)
        except DocumentError as error:
            self._report.failed.append(Failure(str(document.id), str(error)))
            return None
        self.given.add(digest)
        for note in checked.notes:
            self._report.metadata_changes[note] = self._report.metadata_changes.get(note, 0) + 1
        return checked


def _full_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _made_of(foreign: Any) -> str:
    """Return a sentence about how to make a document of one of LangChain or LlamaIndex."""
    for name in ("page_content", "text"):
        if hasattr(foreign, name) and hasattr(foreign, "metadata"):
            return f" Give Document(id=..., text=d.{name}, metadata=d.metadata)."
    return ""


class Comparison:
    """Reads documents and compares them with a collection.

    Args:
        collection: Compared with.
        splitter: Checks and splits documents.
        report: Takes counts, failures and times.
    """

    def __init__(self, collection: Collection, splitter: PassageSplitter, report: IndexReport) -> None:
        self._collection = collection
        self._splitter = splitter
        self._report = report
        self._checker = Checker(splitter, report)

    @property
    def given(self) -> set[bytes]:
        """Source digests of the documents read."""
        return self._checker.given

    def differences(self, documents: Iterable[Document | Failure | Skipped]) -> Iterator[Lacking | Replacement]:
        """Yield what has to be written, document by document, or a replacement alone where there is only to remove.

        Raises:
            DocumentError: Something other than a document is among them.
        """
        for lot in self._lots(documents):
            with self._report.timed("comparing"):
                stored = stored_passages(self._collection, [checked.document.id for checked in lot])
            for checked in lot:
                yield from self._differences_of(checked, stored.get(checked.source, set()))

    def _lots(self, documents: Iterable[Document | Failure | Skipped]) -> Iterator[list[CheckedDocument]]:
        """Read and check documents, and group them."""
        lot: list[CheckedDocument] = []
        characters = 0
        started = time.perf_counter()
        iterator = iter(documents)
        for number in itertools.count():
            with self._report.timed("reading"):
                document = next(iterator, _END)
                checked = None if document is _END else self._checker.check(document, number)
            if checked is not None:
                lot.append(checked)
                characters += len(checked.document.text)
            full = len(lot) >= _LOT_DOCUMENTS or characters >= _LOT_CHARACTERS
            if lot and (full or document is _END or time.perf_counter() - started >= _LOT_SECONDS):
                yield lot
                lot, characters, started = [], 0, time.perf_counter()
            if document is _END:
                return

    def _differences_of(self, checked: CheckedDocument, stored: set[str]) -> Iterator[Lacking | Replacement]:
        """Yield what has to be written or removed for a document."""
        if is_whole(stored, checked.version):
            self._report.unchanged += 1
            return
        with self._report.timed("splitting"):
            passages = {passage.id: passage for passage in self._splitter.split(checked)}
        new = [passage for id, passage in passages.items() if id not in stored]
        stale = sorted(stored - set(passages))
        if not passages and not stored:
            self._report.empty += 1
            return
        replacement = Replacement(len(new), stale, is_new=not stored)
        if not new:
            yield replacement
        with self._report.timed("comparing"):
            vectors = stored_vectors(self._collection, stale) if new and stale else {}
        for passage in new:
            yield Lacking(passage, replacement, vectors.get(passage.text))

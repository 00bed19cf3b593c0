"""A worker that embeds lots of documents into files, one a lot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from minilm_retrieval.errors import MiniLMError, StoreError
from minilm_retrieval.ingest import IndexReport
from minilm_retrieval.ingest.comparison import Checker
from minilm_retrieval.ingest.passages import CheckedDocument
from minilm_retrieval.ingest.settings import OVERLAP_KEY, TOKENS_KEY
from minilm_retrieval.maintenance.parquet import write_stream
from minilm_retrieval.maintenance.records import Record
from minilm_retrieval.scaleout.block_folder import BlockFolder
from minilm_retrieval.scaleout.equipment import Embedding
from minilm_retrieval.scaleout.lots import Item
from minilm_retrieval.scaleout.outcomes import Outcome

_NAME_DIGITS = 24


class LotEmbedder:
    """Embeds one lot after the other; one whose file is there is neither split nor embedded again.

    Args:
        folder: Where files go; the name of each is a digest of all that decides its content.
        embedding: What to embed with.
    """

    def __init__(self, folder: BlockFolder, embedding: Embedding) -> None:
        self._folder = folder
        self._embedding = embedding

    def __call__(self, lot: list[Item]) -> Outcome:
        """Embed a lot."""
        report = IndexReport()
        try:
            checker = Checker(self._embedding.splitter, report)
            with report.timed("comparing"):
                documents = [checked for number, item in enumerate(lot) if (checked := checker.check(item, number))]
                name = _name_of(documents)
                known = bool(documents) and self._folder.has(name)
            if known:
                report.unchanged = len(documents)
            elif documents:
                self._write(name, documents, report)
        except MiniLMError as error:
            return Outcome.failed(report, error)
        except OSError as error:
            return Outcome.failed(report, StoreError(f"{self._folder.address} cannot be written: {error}"))
        return Outcome(report, block=name if documents else "")

    def _write(self, name: str, documents: Sequence[CheckedDocument], report: IndexReport) -> None:
        with report.timed("splitting"):
            split = [self._embedding.splitter.split(document) for document in documents]
        passages = [passage for pieces in split for passage in pieces]
        with report.timed("embedding"):
            vectors = self._embedding.embedder.encode([passage.text for passage in passages])
        records = [
            Record(passage.id, passage.text, passage.metadata, None, vector)
            for passage, vector in zip(passages, vectors, strict=True)
        ]
        with report.timed("writing"):
            data = BytesIO()
            write_stream(data, _description(self._embedding), [records])
            self._folder.write(name, data.getvalue())
        report.added = sum(bool(pieces) for pieces in split)
        report.empty = len(split) - report.added
        report.passages_written = len(passages)


def _description(embedding: Embedding) -> dict[str, Any]:
    """Return what a file says of itself, so that it can be imported as a collection of this library's."""
    from minilm_retrieval.store.embedding_function import NAME, MiniLMEmbeddingFunction

    function = MiniLMEmbeddingFunction.of(embedding.embedder)
    splitter = embedding.splitter
    return {
        "space": "cosine",
        "index": {"hnsw": {}},
        "metadata": {TOKENS_KEY: splitter.max_tokens, OVERLAP_KEY: splitter.overlap},
        "function": {"name": NAME, "config": function.get_config()},
    }


def _name_of(documents: Sequence[CheckedDocument]) -> str:
    content = "\n".join(f"{document.source} {document.version}" for document in documents)
    return f"block-{hashlib.sha256(content.encode()).hexdigest()[:_NAME_DIGITS]}.parquet"

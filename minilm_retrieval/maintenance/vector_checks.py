"""Checks of vectors: finite, of unit length, and those of the texts beside them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.maintenance.faults import OTHER_MODEL, REEMBED, Examples, Fault
from minilm_retrieval.maintenance.reading import stacked
from minilm_retrieval.maintenance.records import Record
from minilm_retrieval.similarity import cosine_or_zero, is_unit
from minilm_retrieval.store.compatibility import ANOTHER_MODEL, SAME_VECTOR
from minilm_retrieval.store.stored_function import StoredFunction
from minilm_retrieval.store.stored_text import embedded_text

# What rounding leaves of the cosine with float32, with room: the worst measured are 0.99994 and 0.994. Where nobody
# recorded the precision, or how texts were cut, the vectors of one model are still this near.
_LEAST_COSINE = {"float32": 0.9999, "bfloat16": 0.999, "int8": SAME_VECTOR}
_BATCH = 256


def least_cosine(function: StoredFunction, embedder: MiniLMEmbedder) -> float:
    """Return the least cosine that the coarser of a collection's precision and an embedder's explains."""
    stored = function.config.get("precision") if function.fingerprint is not None else None
    return min(_LEAST_COSINE.get(str(stored), SAME_VECTOR), _LEAST_COSINE.get(embedder.precision, SAME_VECTOR))


def fingerprint_faults(function: StoredFunction, embedder: MiniLMEmbedder) -> Iterator[Fault]:
    """Yield what is wrong with what this library recorded of a collection's embedder; another tool's is not judged."""
    from minilm_retrieval.store.embedding_function import NAME, MiniLMEmbeddingFunction

    if function.name != NAME:
        return
    try:
        MiniLMEmbeddingFunction.validate_config(dict(function.config))
    except InvalidOptionError as error:
        yield Fault("fingerprint", f"The record of the embedding function cannot be trusted. {error}", REEMBED)
    if function.fingerprint != embedder.fingerprint:
        yield Fault(
            "fingerprint",
            f"The collection records the model of fingerprint {function.fingerprint} (max_seq_length "
            f"{function.config.get('max_seq_length')}, normalize {function.config.get('normalize')}); this embedder "
            f"has {embedder.fingerprint} (max_seq_length {embedder.max_seq_length}, normalize {embedder.normalize}).",
            OTHER_MODEL,
        )


class VectorChecks:
    """Takes every vector once; embeds the texts of those chosen again.

    Args:
        embedder: What the vectors should come from.
        least: The least cosine of a stored vector with the embedder's.

    Attributes:
        taken: How many vectors were taken.
        compared: How many texts were embedded again.
        lowest: The lowest cosine among them, ``None`` if there was none.
    """

    def __init__(self, embedder: MiniLMEmbedder, least: float) -> None:
        self.taken = 0
        self.compared = 0
        self.lowest: float | None = None
        self._dimension = embedder.dimension
        self._embedder = embedder.quietly()
        self._least = least
        self._infinite = Examples()
        self._zero = Examples()
        self._lengths = Examples()
        self._range = (np.inf, 0.0)
        self._differing = Examples()
        self._cosines = 0.0
        self._waiting: list[tuple[str, str, FloatArray]] = []

    @property
    def _comparable(self) -> bool:
        return self._dimension == self._embedder.dimension

    def add(self, page: list[Record]) -> None:
        """Take the vectors of a page of records, where they could be read."""
        ids, vectors = [record.id for record in page if record.vector is not None], stacked(page)
        if not ids:
            return
        self.taken += len(ids)
        self._dimension = vectors.shape[1]
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        finite, zero = np.isfinite(lengths), lengths == 0
        for row in np.flatnonzero(~is_unit(vectors)):
            group = self._zero if zero[row] else self._lengths if finite[row] else self._infinite
            group.add(ids[row])
        if (finite & ~zero).any():
            ordinary = lengths[finite & ~zero]
            self._range = (min(self._range[0], ordinary.min()), max(self._range[1], ordinary.max()))

    def compare(self, records: list[Record]) -> None:
        """Compare the vectors of records, which have a direction, with those of their texts."""
        for record in records:
            text = embedded_text(record.document, record.metadata or {})
            if text and record.vector is not None and self._comparable:
                self._waiting.append((record.id, text, record.vector))
        if len(self._waiting) >= _BATCH:
            self._compare()

    def _compare(self) -> None:
        expected = self._embedder.encode([text for _, text, _ in self._waiting])
        for (id, _, stored), vector in zip(self._waiting, expected, strict=True):
            cosine = float(cosine_or_zero(vector, stored[None, :])[0])
            self.compared += 1
            self._cosines += cosine
            self.lowest = cosine if self.lowest is None else min(self.lowest, cosine)
            if cosine < self._least:
                self._differing.add(id, cosine)
        self._waiting.clear()

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong, when all vectors have been taken."""
        self._compare()
        if not self._comparable:
            yield Fault(
                "dimension",
                f"The vectors have {self._dimension} numbers; this embedder gives {self._embedder.dimension}.",
                OTHER_MODEL,
            )
        if self._infinite:
            message = f"Vectors that hold NaN or infinity: {self._infinite.total}."
            yield Fault("not-finite", message, REEMBED, **self._infinite.fields())
        yield from self._length_faults()
        if self._differing:
            yield self._difference()

    def skipped(self) -> dict[str, str]:
        """Return the kinds of faults that could not be looked for, with the reason."""
        if not self.taken:
            return dict.fromkeys(("dimension", "not-finite", "not-unit", "vector"), "no vector to look at")
        if not self._comparable:
            return {"vector": "vectors of another dimension cannot be compared"}
        return {} if self.compared else {"vector": "no sampled record has a text"}

    def _length_faults(self) -> Iterator[Fault]:
        if self._zero:
            message = f"Vectors that are zero in every number, so that no search finds them: {self._zero.total}."
            yield Fault("not-unit", message, REEMBED, **self._zero.fields())
        if not self._lengths or not self._embedder.normalize:
            return
        lengths = f"from {self._range[0]:.3g} to {self._range[1]:.3g}"
        if self._lengths.total == self.taken - self._zero.total - self._infinite.total:
            yield Fault(
                "not-unit",
                f"No vector has unit length (they are {lengths}): the model that made them does not normalise. This "
                "library's scores are cosines all the same; those of other tools are not, unless the space is cosine.",
                REEMBED,
                total=self._lengths.total,
            )
            return
        message = f"Vectors without unit length: {self._lengths.total} of {self.taken}; lengths are {lengths}."
        yield Fault("not-unit", message, REEMBED, **self._lengths.fields())

    def _difference(self) -> Fault:
        worst = self._differing.worst()
        every = self._differing.total == self.compared
        mean = self._cosines / self.compared
        if every and mean < ANOTHER_MODEL:
            said = f"All {self.compared} vectors compared are of another model: their mean cosine with this "
            said += f"embedder's for the same texts is {mean:.2f}"
            remedy = OTHER_MODEL
        else:
            said = (
                f"Vectors that are not those of their texts: {self._differing.total} of {self.compared} compared, with "
            )
            said += f"cosines from {worst[0][1]:.2f}, where the same model gives {self._least} or more"
            remedy = REEMBED
        return Fault(
            "vector",
            f"{said}.",
            remedy,
            **self._differing.fields(),
            cosines=tuple(round(cosine, 4) for _, cosine in worst),
        )

"""Texts to vectors in bounded memory: chunk, tokenise, batch, embed, and put the rows back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from minilm_retrieval.batching import Batch, make_batches, single_batch
from minilm_retrieval.engines.engine import Engine, FloatArray
from minilm_retrieval.errors import EngineError
from minilm_retrieval.tokenizer import Tokenizer, Tokens, check_texts
from minilm_retrieval.truncation import TruncationLog

# Sorting by length wants many texts at once, bounded memory wants few.
_CHUNK_TEXTS = 4096
_CHUNK_CHARACTERS = 131_072
# The engine waits for the first chunk to be tokenised, so that one is small, and each twice as large as the one before.
_FIRST_CHARACTERS = 4096

Positions = Callable[[int], list[int]]


def own_position(number: int) -> list[int]:
    """Say that the nth text stands at the caller's position n."""
    return [number]


@dataclass
class Chunk:
    """Texts that are tokenised and sorted together, and the rows that are finished."""

    texts: list[str]
    distinct: list[str]
    position: int
    where: Positions
    rows: FloatArray
    finished: int = field(default=0)

    @property
    def complete(self) -> bool:
        """Whether every row is finished."""
        return self.finished == len(self.distinct)

    def note_truncation(self, tokens: list[Tokens], log: TruncationLog, max_length: int) -> None:
        """Log which texts were cut."""
        lengths = {
            text: token.untruncated_length for text, token in zip(self.distinct, tokens, strict=True) if token.truncated
        }
        if not lengths:
            return
        for row, text in enumerate(self.texts):
            if text in lengths:
                log.add(self.where(self.position + row), lengths[text])
        log.check(max_length)

    def put(self, batch: Batch, vectors: FloatArray) -> None:
        """Take the vectors of one batch."""
        positions = list(batch.positions)
        kept = vectors[: len(positions)]
        finite = np.isfinite(kept).all(axis=1)
        if not finite.all():
            text = self.distinct[positions[int(np.argmin(finite))]]
            position = self.where(self.position + self.texts.index(text))[0]
            raise _not_finite(text, position)
        self.rows[positions] = kept
        self.finished += len(positions)

    def vectors(self) -> FloatArray:
        """Return one row a text, in the order of the texts."""
        if len(self.distinct) == len(self.texts):
            return self.rows
        row = {text: number for number, text in enumerate(self.distinct)}
        return self.rows[[row[text] for text in self.texts]]


@dataclass(frozen=True)
class TextGroup:
    """Texts as they come.

    Attributes:
        texts: In the caller's order.
        last: There are no more, as far as is known without waiting for them.
    """

    texts: list[str]
    last: bool


def chunked(texts: Iterable[str]) -> Iterator[TextGroup]:
    """Group texts, in order, bounded in number and characters."""
    group: list[str] = []
    characters = 0
    limit = min(_FIRST_CHARACTERS, _CHUNK_CHARACTERS)
    for text in texts:
        group.append(text)
        characters += len(text) if isinstance(text, str) else 0
        if len(group) >= _CHUNK_TEXTS or characters >= limit:
            yield TextGroup(group, last=False)
            group, characters = [], 0
            limit = min(2 * limit, _CHUNK_CHARACTERS)
    if group:
        yield TextGroup(group, last=True)


def _not_finite(text: str, position: int) -> EngineError:
    return EngineError(
        f"The engine gave a vector that is not finite for the text at position {position}: {text[:60]!r}."
    )


@dataclass(frozen=True)
class Pipeline:
    """How texts become vectors.

    Attributes:
        tokenizer: The model's.
        engine: Runs the batches.
        dimension: Numbers in a vector.
        max_length: Most tokens of a text.
        token_budget: Most tokens of a batch.
        workers: How many batches the engine runs at the same time.
    """

    tokenizer: Tokenizer
    engine: Engine
    dimension: int
    max_length: int
    token_budget: int
    workers: int

    def embed_one(self, text: str, log: TruncationLog) -> FloatArray:
        """Embed one text, without what only several need; shape ``(dimension,)``."""
        tokens = self.tokenizer.tokenize(text, self.max_length)
        if tokens.truncated:
            log.add([0], tokens.untruncated_length)
            log.check(self.max_length)
        batch = single_batch(tokens.ids, self.max_length)
        vector: FloatArray = next(iter(self.engine.embed((batch,))))[0]
        if not np.isfinite(vector).all():
            raise _not_finite(text, 0)
        return vector

    def run(self, groups: Iterator[TextGroup], log: TruncationLog, where: Positions = own_position) -> Iterator[Chunk]:
        """Yield finished chunks in order; the next is tokenised while the last batches of this one still run.

        Args:
            groups: The texts.
            log: Takes note of texts that were cut.
            where: Says at which of the caller's positions the nth text stands.
        """
        opened: deque[Chunk] = deque()
        running: deque[tuple[Chunk, Batch]] = deque()
        for vectors in self.engine.embed(self._batches(groups, log, where, opened, running)):
            chunk, batch = running.popleft()
            chunk.put(batch, vectors)
            while opened and opened[0].complete:
                yield opened.popleft()
        if opened:
            raise EngineError("The engine gave fewer vectors than it was asked for.")

    def _batches(
        self,
        groups: Iterator[TextGroup],
        log: TruncationLog,
        where: Positions,
        opened: deque[Chunk],
        running: deque[tuple[Chunk, Batch]],
    ) -> Iterator[Batch]:
        position = 0
        for group in groups:
            texts = group.texts
            distinct = list(dict.fromkeys(check_texts(texts, position)))
            tokens = [self.tokenizer.tokenize(text, self.max_length) for text in distinct]
            chunk = Chunk(texts, distinct, position, where, np.empty((len(distinct), self.dimension), dtype=np.float32))
            chunk.note_truncation(tokens, log, self.max_length)
            position += len(texts)
            opened.append(chunk)
            # Only towards the end are there workers left without a batch.
            workers = self.workers if group.last else 1
            for batch in make_batches([token.ids for token in tokens], self.token_budget, workers, self.max_length):
                running.append((chunk, batch))
                yield batch

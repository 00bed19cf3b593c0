"""Which texts of which requests are computed next: in batches shared by all, and fair to each.

Requests stand in a ring. Every batch is built around a text of the request whose turn it is, and filled up with texts
of about the same length, one from each request in turn; so a request of one text waits for its turn, not for the two
thousand texts of another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minilm_retrieval.batching import MIN_BUDGET, bucket_length, fitting_rows
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.tokenizer import IntArray

# Among so many times the texts of a batch, those are chosen that are about as long as the one whose turn it is.
_CHOICE = 8


class Job:
    """The texts of one request on their way to vectors.

    Args:
        sequences: Token ids of each text.
        dimension: Numbers in a vector.

    Attributes:
        vectors: Shape ``(n, dimension)``; a row is valid once it was put there.
        missing: How many rows are not there yet.
    """

    def __init__(self, sequences: Sequence[IntArray], dimension: int) -> None:
        self.sequences = sequences
        self.vectors: FloatArray = np.empty((len(sequences), dimension), dtype=np.float32)
        self.missing = len(sequences)
        # The longest is at the end, where taking one costs nothing.
        self._waiting = sorted(range(len(sequences)), key=lambda row: len(sequences[row]))
        self.waiting_tokens = sum(map(len, sequences))

    @property
    def waiting(self) -> int:
        """How many texts are in no batch yet."""
        return len(self._waiting)

    def next_rows(self) -> Iterator[int]:
        """Yield the rows that are in no batch yet, longest first."""
        return reversed(self._waiting)

    def take(self, row: int) -> None:
        """Take a row into a batch."""
        # Among the longest, hence near the end.
        for place in range(len(self._waiting) - 1, -1, -1):
            if self._waiting[place] == row:
                del self._waiting[place]
                break
        self.waiting_tokens -= len(self.sequences[row])

    def put(self, row: int, vector: FloatArray) -> None:
        """Take the vector of a row."""
        self.vectors[row] = vector
        self.missing -= 1


@dataclass(frozen=True)
class Share:
    """A text in a batch."""

    job: Job
    row: int

    def __len__(self) -> int:
        """Return how many tokens it has."""
        return len(self.job.sequences[self.row])


class Schedule:
    """The jobs whose texts wait; not safe for threads by itself.

    Args:
        token_budget: Most tokens of a batch of texts that were sorted by length. Where they come as they come, batches
            are smaller by a third: fewer texts are more alike, which gains more than the smaller batches lose.
        workers: How many batches are computed side by side; a few texts are divided among them.
        max_length: Most tokens of a text.
    """

    def __init__(self, token_budget: int, workers: int, max_length: int) -> None:
        self._token_budget = token_budget * 2 // 3
        self._workers = workers
        self._max_length = max_length
        self._ring: deque[Job] = deque()
        self.texts = 0
        self._tokens = 0

    def __len__(self) -> int:
        return len(self._ring)

    def add(self, job: Job) -> None:
        """Queue a job behind the others."""
        self._ring.append(job)
        self.texts += job.waiting
        self._tokens += job.waiting_tokens

    def discard(self, job: Job) -> None:
        """Drop what waits of a job."""
        if job in self._ring:
            self._ring.remove(job)
            self.texts -= job.waiting
            self._tokens -= job.waiting_tokens

    def take(self) -> tuple[list[Share], int]:
        """Take the texts of the next batch.

        Returns:
            The texts, and the length to pad them to.
        """
        budget = min(self._token_budget, max(MIN_BUDGET, self._tokens // self._workers))
        taken, length = self._best_batch(self._candidates(_CHOICE * budget), budget)
        for share in taken:
            share.job.take(share.row)
        self.texts -= len(taken)
        self._tokens -= sum(map(len, taken))
        self._ring.rotate(-1)
        self._ring = deque(job for job in self._ring if job.waiting)
        return taken, length

    def _candidates(self, tokens: int) -> list[Share]:
        """Return so many tokens' worth of texts, one of each job in turn."""
        candidates: list[Share] = []
        turns = deque((job, job.next_rows()) for job in self._ring)
        while turns and tokens > 0:
            job, rows = turns.popleft()
            row = next(rows, None)
            if row is not None:
                candidates.append(Share(job, row))
                tokens -= len(candidates[-1])
                turns.append((job, rows))
        return candidates

    def _best_batch(self, candidates: list[Share], budget: int) -> tuple[list[Share], int]:
        """Return the batch with the first candidate in it that computes least in vain, and its length."""
        turn = candidates[0]
        ordered = sorted(candidates, key=lambda share: -len(share))
        place = ordered.index(turn)
        best: tuple[float, list[Share], int] = (0.0, [], 0)
        for start in range(place, -1, -1):
            length = bucket_length(len(ordered[start]), self._max_length)
            batch = ordered[start : start + fitting_rows(length, budget)]
            # As many as a batch of a usual size has; the others come with the next.
            batch = batch[: fitting_rows(1, len(batch))]
            if len(batch) <= place - start:
                break
            useful = sum(map(len, batch)) / max(MIN_BUDGET, len(batch) * length)
            if useful > best[0]:
                best = (useful, batch, length)
        return best[1], best[2]

"""A deterministic engine without a model, for tests of everything that is not about the numbers in a vector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from minilm_retrieval.batching import Batch

_TABLE = np.random.default_rng(0).standard_normal((1009, 384)).astype(np.float32)


class FakeEngine:
    """Gives a unit vector that depends on a row's own tokens and their order, and on nothing else.

    Attributes:
        batches: Every batch that was taken.
        broken_rows: Positions, counted over all real rows in the order in which they come, that give NaN.
    """

    token_budget = 448

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.broken_rows: set[int] = set()
        self._seen = 0

    @property
    def rows(self) -> int:
        """How many texts were computed."""
        return sum(len(batch.positions) for batch in self.batches)

    def embed(self, batches: Iterable[Batch], beside_others: bool = False) -> Iterator[npt.NDArray[np.float32]]:
        for batch in batches:
            self.batches.append(batch)
            vectors = np.stack(
                [fake_vector(ids[mask == 1]) for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)]
            )
            for row in range(len(batch.positions)):
                if self._seen + row in self.broken_rows:
                    vectors[row, 7] = np.nan
            self._seen += len(batch.positions)
            yield vectors


def fake_vector(ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Return the vector that the fake engine gives for these token ids."""
    weights = 1.0 + np.arange(len(ids), dtype=np.float32) / 7
    vector = weights @ _TABLE[ids % len(_TABLE)]
    return (vector / np.linalg.norm(vector)).astype(np.float32)

"""What an engine is: one method, and how much it takes at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from minilm_retrieval.batching import Batch

FloatArray = npt.NDArray[np.float32]

# For longer batches OpenVINO packs some weights in a second way: 20 MB, and nothing gained; torch needs memory.
CPU_TOKENS = 448


class Engine(Protocol):
    """Runs the encoder, pooling and normalisation. Safe to call from many threads at once.

    Attributes:
        token_budget: Most tokens that a batch should have, padding included.
    """

    token_budget: int

    def embed(self, batches: Iterable[Batch], beside_others: bool = False) -> Iterator[FloatArray]:
        """Yield the vectors of each batch, in the batches' order.

        Args:
            batches: Taken one by one as there is room, so that memory stays bounded however many there are.
            beside_others: Other threads embed at the same time, so even a single batch should not take all threads.

        Yields:
            Shape ``(rows, dimension)``, float32, one array a batch.

        Raises:
            EngineError: The runtime failed.
        """
        ...

"""Memory stays what it is, whatever lengths and numbers of texts come.

``MINILM_SOAK_CALLS`` sets how many calls are made; the default is few, and bounds only the peak.
"""

from __future__ import annotations

import os
import random
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from subprocesses import run_python

from minilm_retrieval.batching import bucket_length, make_batches
from minilm_retrieval.tokenizer import IntArray

CALLS = int(os.environ.get("MINILM_SOAK_CALLS", "40"))
PEAK_MEGABYTES = 450
GROWTH = 1.05
ROWS = {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256}


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory as Linux tells it")
@pytest.mark.parametrize("callers", [1, 6])
def test_resident_memory_is_bounded_over_random_calls(standard_directory: object, callers: int) -> None:
    output = run_python(
        """
        import random, sys
        from concurrent.futures import ThreadPoolExecutor
        from pathlib import Path
        from pydoc_data.topics import topics
        from minilm_retrieval import MiniLMEmbedder

        def megabytes(field):
            line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
            return int(line.split()[1]) * 1024 / 1e6

        calls, callers = map(int, sys.argv[1:])
        words = " ".join(topics.values()).split()
        chance = random.Random(0)
        embedder = MiniLMEmbedder(threads=2, on_truncate="ignore")

        def texts():
            return [" ".join(chance.choices(words, k=chance.randint(1, 250))) for _ in range(chance.randint(1, 8))]

        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(embedder.encode, [texts() for _ in range(calls // 5)]))
            early = megabytes("VmRSS")
            list(pool.map(embedder.encode, [texts() for _ in range(calls - calls // 5)]))
        print(early, megabytes("VmRSS"), megabytes("VmHWM"))
        """,
        str(CALLS),
        str(callers),
        timeout=60 + CALLS,
    )
    early, late, peak = map(float, output.split())
    assert peak < PEAK_MEGABYTES
    if CALLS >= 1000:
        assert late <= GROWTH * early


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_shapes_come_from_a_small_set(seed: int, workers: int) -> None:
    chance = random.Random(seed)
    sequences: list[IntArray] = [np.zeros(chance.randint(2, 256), dtype=np.int32) for _ in range(chance.randint(1, 60))]
    for batch in make_batches(sequences, 512, workers, 256):
        rows, length = batch.input_ids.shape
        assert length == bucket_length(length, 256)
        assert rows in ROWS


def test_few_lengths_and_little_padding() -> None:
    assert len({bucket_length(length, 256) for length in range(2, 257)}) == 47
    padding = [bucket_length(length, 256) / length - 1 for length in range(2, 257)]
    assert max(padding) < 0.125
    assert sum(padding) / len(padding) < 0.04

"""One embedder, many threads: no error, and every vector what it is when the call is made alone.

``MINILM_SOAK_SECONDS`` sets how long the threads go on; the default is short.
"""

from __future__ import annotations

import os
import random
import threading
import time

import numpy as np
import numpy.typing as npt
import pytest
from sample_texts import topic_texts

from minilm_retrieval import MiniLMEmbedder

THREADS = 32
SECONDS = float(os.environ.get("MINILM_SOAK_SECONDS", "2"))


def calls() -> list[list[str]]:
    """Return single texts, small lists and some that need many batches."""
    chance = random.Random(0)
    texts = topic_texts(60, 80)
    sizes = [1] * 20 + [2, 3, 5, 8] * 4 + [30, 60]
    return [chance.sample(texts, size) for size in sizes]


@pytest.mark.parametrize("threads", [1, 2])
def test_32_threads_share_one_embedder(threads: int) -> None:
    embedder = MiniLMEmbedder(threads=threads, on_truncate="ignore")
    work = calls()
    alone = [embedder.encode(texts) for texts in work]
    end = time.monotonic() + SECONDS
    failures: list[str] = []
    finished = [0] * THREADS

    def run(number: int) -> None:
        chance = random.Random(number)
        while finished[number] == 0 or (time.monotonic() < end and not failures):
            chosen = chance.randrange(len(work))
            try:
                compare(embedder.encode(work[chosen]), alone[chosen])
                compare(embedder.encode(work[chosen][0]), alone[chosen][0], 1e-5)
                assert len(embedder.count_tokens(work[chosen])) == len(work[chosen])
            except BaseException as error:
                failures.append(f"{type(error).__name__}: {error}")
                raise
            finished[number] += 1

    running = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(SECONDS + 120)
    assert failures == []
    assert not any(thread.is_alive() for thread in running), "some threads wait for ever"
    assert min(finished) > 0


def compare(vectors: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], tolerance: float = 1e-6) -> None:
    difference = np.abs(vectors - expected).max()
    assert difference <= tolerance, f"differs by {difference}"


def test_streams_in_many_threads(embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 20)
    texts = topic_texts(80, 40)
    expected = embedder.encode(texts)
    failures: list[object] = []

    def run() -> None:
        try:
            got = np.concatenate([vectors for _, vectors in embedder.encode_stream(iter(texts))])
            compare(got, expected, 1e-5)
        except BaseException as error:
            failures.append(error)

    running = [threading.Thread(target=run, daemon=True) for _ in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(120)
    assert failures == []
    assert not any(thread.is_alive() for thread in running)

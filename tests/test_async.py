"""``aencode``: the same vectors, with the event loop free."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from fake_engine import FakeEngine
from sample_texts import topic_texts

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.batching import Batch
from minilm_retrieval.errors import InvalidTextError, TextTooLongError


async def test_the_same_vectors(embedder: MiniLMEmbedder) -> None:
    texts = topic_texts(40, 100)
    assert np.abs(await embedder.aencode(texts) - embedder.encode(texts)).max() <= 1e-6
    one = await embedder.aencode("one text")
    assert one.shape == (384,)
    assert np.abs(one - embedder.encode("one text")).max() <= 1e-6
    assert (await embedder.aencode([])).shape == (0, 384)


async def test_many_at_the_same_time(embedder: MiniLMEmbedder) -> None:
    texts = topic_texts(60, 60)
    together = await asyncio.gather(*map(embedder.aencode, texts))
    assert np.abs(np.stack(together) - embedder.encode(texts)).max() <= 1e-5


async def test_the_loop_goes_on_while_the_engine_works(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine works until the loop has ticked 100 times: a blocked loop never gets there."""
    enough = threading.Event()
    whole = fake_engine.embed

    def embed(batches: Iterable[Batch]) -> Iterator[np.ndarray]:
        for vectors in whole(batches):
            assert enough.wait(30), "the event loop stood still"
            yield vectors

    async def tick() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        enough.set()

    monkeypatch.setattr(fake_engine, "embed", embed)
    vectors, _ = await asyncio.gather(MiniLMEmbedder().aencode(["a", "b"]), tick())
    assert vectors.shape == (2, 384)


async def test_the_loop_goes_on_while_the_real_engine_works(embedder: MiniLMEmbedder) -> None:
    """The lock on Python is let go while OpenVINO computes."""
    running = asyncio.create_task(embedder.aencode([f"{number} " + "word " * 250 for number in range(64)]))
    ticks = 0
    while not running.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert (await running).shape == (64, 384)
    assert ticks > 10


@pytest.mark.parametrize("wrong", [None, ["a", None], b"bytes"])
async def test_errors_are_those_of_encode(fake_engine: FakeEngine, wrong: Any) -> None:
    with pytest.raises(InvalidTextError):
        await MiniLMEmbedder().aencode(wrong)


async def test_policies_are_those_of_encode(fake_engine: FakeEngine) -> None:
    with pytest.raises(TextTooLongError, match="position 1"):
        await MiniLMEmbedder(on_truncate="error").aencode(["a", "word " * 300])


async def test_a_cancelled_call_leaves_the_embedder_usable(embedder: MiniLMEmbedder) -> None:
    texts = [f"{number} " + "word " * 250 for number in range(64)]
    running = asyncio.create_task(embedder.aencode(texts))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await embedder.aencode(texts[:8])).shape == (8, 384)

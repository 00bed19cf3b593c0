"""The batcher: vectors of the right request, errors for the one at fault alone, and a queue that is bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_engine import FakeEngine, fake_vector

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.batching import Batch
from minilm_retrieval.errors import EngineError
from minilm_retrieval.server.batcher import Batcher, QueueFullError, StoppingError

BAD = 666


class Observed:
    def __init__(self) -> None:
        self.waits: list[float] = []
        self.batches: list[tuple[int, int]] = []

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def computed(self, seconds: float, texts: int, tokens: int) -> None:
        self.batches.append((texts, tokens))


class GatedEngine(FakeEngine):
    """Waits for a gate, and fails on every batch that has a certain token in it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def embed(self, batches: Iterable[Batch], beside_others: bool = False) -> Iterator[Any]:
        for batch in batches:
            self.gate.wait()
            if (batch.input_ids == BAD).any():
                raise EngineError("bad token")
            yield from super().embed([batch])


@asynccontextmanager
async def batcher(
    engine: Any, max_requests: int = 100, max_texts: int = 1000
) -> AsyncIterator[tuple[Batcher, Observed]]:
    observed = Observed()
    pipeline = replace(MiniLMEmbedder().pipeline(), engine=engine, workers=2)
    made = Batcher(pipeline, observed, max_requests, max_texts)
    try:
        yield made, observed
    finally:
        await asyncio.to_thread(made.stop)


def ids(*tokens: int) -> Any:
    return np.array(tokens, dtype=np.int32)


async def test_everybody_gets_his_own_vectors() -> None:
    chance = np.random.default_rng(0)
    requests = [
        [ids(*chance.integers(1, 600, chance.integers(2, 200))) for _ in range(chance.integers(1, 30))]
        for _ in range(40)
    ]
    async with batcher(FakeEngine()) as (made, observed):
        answers = await asyncio.gather(*(made.embed(request) for request in requests))
    for request, vectors in zip(requests, answers, strict=True):
        assert vectors.dtype == np.float32
        assert np.allclose(vectors, [fake_vector(sequence) for sequence in request], atol=1e-6)
    assert sum(texts for texts, _ in observed.batches) == len(observed.waits) == sum(map(len, requests))
    assert sum(tokens for _, tokens in observed.batches) == sum(len(text) for request in requests for text in request)


async def test_nothing_to_embed() -> None:
    async with batcher(FakeEngine()) as (made, _):
        assert (await made.embed([])).shape == (0, 384)


async def test_requests_that_wait_share_batches() -> None:
    engine = GatedEngine()
    async with batcher(engine) as (made, observed):
        engine.gate.clear()
        tasks = [asyncio.ensure_future(made.embed([ids(1, number, 2)])) for number in range(3, 63)]
        await asyncio.sleep(0.05)
        engine.gate.set()
        await asyncio.gather(*tasks)
    assert len(observed.batches) < 10


async def test_a_bad_text_fails_its_own_request_alone() -> None:
    engine = GatedEngine()
    async with batcher(engine) as (made, _):
        engine.gate.clear()
        good = [asyncio.ensure_future(made.embed([ids(1, number, 2), ids(1, 5, 2)])) for number in range(3, 13)]
        bad = asyncio.ensure_future(made.embed([ids(1, BAD, 2), ids(1, 4, 2)]))
        await asyncio.sleep(0.05)
        engine.gate.set()
        with pytest.raises(EngineError, match="bad token"):
            await bad
        for number, vectors in enumerate(await asyncio.gather(*good), 3):
            assert np.allclose(vectors[0], fake_vector(ids(1, number, 2)), atol=1e-6)
        assert (await made.embed([ids(1, 9, 2)])).shape == (1, 384), "and it goes on"


async def test_a_vector_that_is_not_finite_is_an_error() -> None:
    engine = FakeEngine()
    engine.broken_rows = {0}
    async with batcher(engine) as (made, _):
        with pytest.raises(EngineError, match="not finite"):
            await made.embed([ids(1, 7, 2)])
        assert np.isfinite(await made.embed([ids(1, 7, 2)])).all()


async def test_a_cancelled_request_leaves_the_queue() -> None:
    engine = GatedEngine()
    async with batcher(engine) as (made, observed):
        engine.gate.clear()
        running = [asyncio.ensure_future(made.embed([ids(1, number, 2)])) for number in range(3)]
        await asyncio.sleep(0.05)
        gone = asyncio.ensure_future(made.embed([ids(*range(1, 200))] * 100))
        await asyncio.sleep(0.05)
        waiting = made.waiting_texts
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert waiting >= 90
        assert (made.waiting_texts, made.waiting_requests) == (0, 0)
        engine.gate.set()
        await asyncio.gather(*running)
    assert sum(texts for texts, _ in observed.batches) <= 3 + 100 - waiting


@pytest.mark.parametrize("texts", [1, 50])
async def test_a_full_queue_refuses_requests_of_any_size(texts: int) -> None:
    engine = GatedEngine()
    async with batcher(engine, max_requests=2) as (made, _):
        engine.gate.clear()
        taken = [asyncio.ensure_future(made.embed([ids(1, 2)] * 400)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(QueueFullError, match="2 requests wait already, and at most 2 may") as refused:
            await made.embed([ids(1, 2)] * texts)
        assert refused.value.retry_after > 0
        engine.gate.set()
        await asyncio.gather(*taken)
        await made.embed([ids(1, 2)] * texts)


async def test_a_queue_full_of_texts_refuses_requests() -> None:
    engine = GatedEngine()
    async with batcher(engine, max_texts=100) as (made, _):
        engine.gate.clear()
        large = asyncio.ensure_future(made.embed([ids(*range(2, 200))] * 500))
        await asyncio.sleep(0.05)
        with pytest.raises(QueueFullError, match="texts wait already, and at most 100 may"):
            await made.embed([ids(1, 2)])
        engine.gate.set()
        assert (await large).shape == (500, 384), "one request may be larger than the queue"


async def test_stopping_finishes_what_was_accepted_and_takes_nothing_more() -> None:
    engine = GatedEngine()
    async with batcher(engine) as (made, _):
        engine.gate.clear()
        accepted = asyncio.ensure_future(made.embed([ids(1, 2)] * 300))
        await asyncio.sleep(0.05)
        stopping = asyncio.ensure_future(asyncio.to_thread(made.stop))
        await asyncio.sleep(0.05)
        with pytest.raises(StoppingError, match="being stopped"):
            await made.embed([ids(1, 2)])
        engine.gate.set()
        assert (await accepted).shape == (300, 384)
        await stopping


async def test_a_fault_beside_the_engine_fails_its_batch_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with batcher(FakeEngine()) as (made, observed):
        monkeypatch.setattr(observed, "computed", lambda *facts: 1 / 0)
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                await made.embed([ids(1, 2)])
        monkeypatch.undo()
        assert (await made.embed([ids(1, 2)])).shape == (1, 384)

"""Requests in flight share batches: an asynchronous front, and threads that compute behind it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from minilm_retrieval.batching import padded_batch
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import EngineError
from minilm_retrieval.pipeline import Pipeline
from minilm_retrieval.server.schedule import Job, Schedule, Share
from minilm_retrieval.tokenizer import IntArray


class Observer(Protocol):
    """Is told what the batcher does."""

    def waited(self, seconds: float) -> None:
        """Take note of how long a text waited before it was computed."""

    def computed(self, seconds: float, texts: int, tokens: int) -> None:
        """Take note of a batch."""


class QueueFullError(Exception):
    """So much waits that no more is taken.

    Attributes:
        retry_after: Seconds after which half of it will have been computed.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoppingError(Exception):
    """Nothing more is taken, since the server is being stopped."""


class Batcher:
    """Computes the vectors of many requests at once.

    Belongs to the event loop that it is made in, and computes until it is stopped.

    Args:
        pipeline: Gives the engine and its measures.
        observer: Is told about each batch.
        max_requests: How many requests may wait; one more is refused.
        max_texts: While so many texts wait, no request is taken, whatever its size.
    """

    def __init__(self, pipeline: Pipeline, observer: Observer, max_requests: int, max_texts: int) -> None:
        self._pipeline = pipeline
        self._observer = observer
        self._max_requests = max_requests
        self._max_texts = max_texts
        self._schedule = Schedule(pipeline.token_budget, pipeline.workers, pipeline.max_length)
        self._changed = threading.Condition()
        self._running = 0
        self._stopping = False
        self._jobs: dict[Job, tuple[asyncio.Future[None], float]] = {}
        self._rate = 1000.0
        self._loop = asyncio.get_running_loop()
        # As many as can run: a batch put together earlier would have fewer texts to choose from, which costs more than
        # the moment that an engine waits for its next one.
        self._threads = [
            threading.Thread(target=self._work, name=f"minilm-batch-{number}", daemon=True)
            for number in range(pipeline.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting_requests(self) -> int:
        """How many requests have texts that wait."""
        return len(self._schedule)

    @property
    def waiting_texts(self) -> int:
        """How many texts wait."""
        return self._schedule.texts

    def stop(self) -> None:
        """Finish what waits, take nothing more, and return when all is done."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def check_room(self, arriving: int = 0) -> None:
        """Make sure that a request may wait.

        Args:
            arriving: Requests that are taken already, and not yet here.

        Raises:
            QueueFullError: Too much waits already; whatever the size of the request.
        """
        for waiting, limit, what in (
            (self.waiting_requests + arriving, self._max_requests, "requests"),
            (self.waiting_texts, self._max_texts, "texts"),
        ):
            if waiting >= limit:
                half = self.waiting_texts / 2 / self._rate
                raise QueueFullError(f"{waiting} {what} wait already, and at most {limit} may", half)

    async def embed(self, sequences: Sequence[IntArray]) -> FloatArray:
        """Return the vectors of token sequences; cancelled, it leaves the queue.

        Args:
            sequences: Token ids, special tokens included, at most the model's length.

        Returns:
            Shape ``(n, dimension)``, float32.

        Raises:
            QueueFullError: See :meth:`check_room`.
            EngineError: The engine failed on these texts.
            StoppingError: The server is being stopped.
        """
        job = Job(sequences, self._pipeline.dimension)
        if not sequences:
            return job.vectors
        self.check_room()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._stopping:
                raise StoppingError("The server is being stopped.")
            self._jobs[job] = (future, time.perf_counter())
            self._schedule.add(job)
            self._changed.notify(min(len(self._threads), len(sequences)))
        try:
            await future
        finally:
            if self._jobs.pop(job, None) is not None and job.missing:
                with self._changed:
                    self._schedule.discard(job)
        return job.vectors

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or len(self._schedule))
                if not len(self._schedule):
                    return
                shares, length = self._schedule.take()
                # While there are other requests, others will come before this batch is computed.
                alone = self._running == 0 and not len(self._schedule) and len(self._jobs) == 1
                self._running += 1
            try:
                self._compute(shares, length, alone)
            except Exception as error:
                failures = {share.job: error for share in shares}
                self._loop.call_soon_threadsafe(self._finish, list(failures), failures)
            finally:
                with self._changed:
                    self._running -= 1

    def _compute(self, shares: list[Share], length: int, alone: bool) -> None:
        started = time.perf_counter()
        for share in shares:
            if (entry := self._jobs.get(share.job)) is not None:
                self._observer.waited(started - entry[1])
        failures: dict[Job, Exception] = {}
        try:
            vectors = self._vectors(shares, length, alone)
        except Exception as error:
            vectors = self._one_by_one(shares, error, failures)
        ended = time.perf_counter()
        self._observer.computed(ended - started, len(shares), sum(map(len, shares)))
        finished = dict.fromkeys(failures)
        with self._changed:
            self._rate += 0.05 * (len(shares) * self._pipeline.workers / (ended - started) - self._rate)
            for share, vector in zip(shares, vectors, strict=True):
                if not np.isfinite(vector).all():
                    failures.setdefault(share.job, EngineError("The engine gave a vector that is not finite."))
                share.job.put(share.row, vector)
                if share.job.missing == 0 or share.job in failures:
                    finished[share.job] = None
        self._loop.call_soon_threadsafe(self._finish, list(finished), failures)

    def _vectors(self, shares: list[Share], length: int, alone: bool) -> FloatArray:
        batch = padded_batch([share.job.sequences[share.row] for share in shares], range(len(shares)), length)
        vectors: FloatArray = next(iter(self._pipeline.engine.embed((batch,), beside_others=not alone)))
        return vectors[: len(shares)]

    def _one_by_one(self, shares: list[Share], error: Exception, failures: dict[Job, Exception]) -> FloatArray:
        """Compute each text by itself, so that one that fails harms no other request."""
        vectors = np.zeros((len(shares), self._pipeline.dimension), dtype=np.float32)
        for row, share in enumerate(shares):
            if share.job in failures:
                continue
            try:
                if len(shares) == 1:
                    raise error
                vectors[row] = self._vectors([share], len(share), alone=False)[0]
            except Exception as alone:
                failures[share.job] = alone
        return vectors

    def _finish(self, jobs: list[Job], failures: dict[Job, Any]) -> None:
        """Answer requests; in the event loop."""
        for job in jobs:
            future, _ = self._jobs.get(job, (None, 0.0))
            if future is None or future.done():
                continue
            if job in failures:
                future.set_exception(failures[job])
            else:
                future.set_result(None)

"""The measurements: every peer in a process of its own, one at a time, in interleaved rounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import numpy as np
from peers import PEERS
from processors import Processors

from minilm_retrieval.bench.texts import TextSet
from minilm_retrieval.bench.worker_process import FloatArray, WorkerProcess

TIMED_SETS = ("short", "mixed", "long")
REFERENCE = "sentence-transformers"

WARM_UP_QUERIES = 10


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        sizes: Texts in each set.
        timed: How many of a set's texts a round embeds.
        slow_timed: How many of them at most, for a slow peer.
        rounds: Rounds of throughput and latency.
        cold_starts: Fresh processes a peer.
        queries: Queries a round.
    """

    sizes: dict[str, int]
    timed: dict[str, int]
    slow_timed: int
    rounds: int
    cold_starts: int
    queries: int

    def texts(self, peer: str, texts: TextSet) -> list[str]:
        """Return the texts of a set that a peer is timed on: the first ones, which are a fair sample."""
        number = self.timed[texts.name]
        return texts.texts[: min(number, self.slow_timed) if PEERS[peer].slow else number]


@dataclass
class Result:
    """One peer's raw figures.

    Attributes:
        texts_per_second: For each set, one figure a round.
        query_seconds: The median of each round.
        cold_start_seconds: One figure a fresh process.
        peak_memory: Bytes, after the long texts.
        worst_cosine: Smallest cosine with the reference's vector of the same text; ``None`` without a reference.
        mean_cosine: Likewise, their mean.
        compared_texts: Over how many texts.
    """

    texts_per_second: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in TIMED_SETS})
    query_seconds: list[float] = field(default_factory=list)
    cold_start_seconds: list[float] = field(default_factory=list)
    peak_memory: int = 0
    worst_cosine: float | None = None
    mean_cosine: float | None = None
    compared_texts: int = 0


def measure(
    peers: list[str],
    sets: dict[str, TextSet],
    plan: Plan,
    start: Callable[[str], WorkerProcess],
    processors: Processors,
    say: Callable[[str], None],
) -> dict[str, Result]:
    """Measure peers.

    Args:
        peers: Keys of :data:`peers.PEERS`.
        sets: The texts.
        plan: How much to measure.
        start: Starts a peer's process.
        processors: Are waited for, until they are idle, before anything is timed.
        say: Is told what is going on.
    """
    results = {peer: Result() for peer in peers}
    with ExitStack() as stack:
        workers = {}
        vectors = {}
        for peer in peers:
            say(f"starting {PEERS[peer].name}")
            workers[peer] = stack.enter_context(start(peer))
            vectors[peer] = _first_pass(peer, workers[peer], sets, plan, results[peer])
        _compare(vectors, results)
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            _round(number, workers, sets, plan, processors, results)
            if number < plan.cold_starts:
                say(f"cold starts {number + 1} of {plan.cold_starts}")
                for peer in _rotated(peers, number):
                    processors.wait_until_idle()
                    seconds = _cold_start(partial(start, peer), sets["queries"].texts[number])
                    results[peer].cold_start_seconds.append(seconds)
    return results


def _first_pass(
    peer: str, worker: WorkerProcess, sets: dict[str, TextSet], plan: Plan, result: Result
) -> dict[str, FloatArray]:
    """Embed everything once: for peak memory, for the vectors to compare, and to warm up what is timed later.

    All long texts come first, for every peer, so that the peak is that of a new process that embeds them.
    """
    vectors = {"long": worker.vectors(sets["long"].texts)}
    result.peak_memory = worker.peak_memory()
    for name in ("short", "mixed"):
        vectors[name] = worker.vectors(plan.texts(peer, sets[name]))
    worker.query_seconds(sets["queries"].texts[:WARM_UP_QUERIES])
    return vectors


def _cold_start(start: Callable[[], WorkerProcess], query: str) -> float:
    """Return the seconds from the start of a new interpreter until its first vector is there."""
    started = time.perf_counter()
    with start() as worker:
        worker.query_seconds([query])
        return time.perf_counter() - started


def _round(
    number: int,
    workers: dict[str, WorkerProcess],
    sets: dict[str, TextSet],
    plan: Plan,
    processors: Processors,
    results: dict[str, Result],
) -> None:
    order = _rotated(list(workers), number)
    for name in TIMED_SETS:
        for peer in order:
            texts = plan.texts(peer, sets[name])
            processors.wait_until_idle()
            results[peer].texts_per_second[name].append(len(texts) / workers[peer].seconds(texts))
    first = WARM_UP_QUERIES + number * plan.queries
    for peer in order:
        processors.wait_until_idle()
        seconds = workers[peer].query_seconds(sets["queries"].texts[first : first + plan.queries])
        results[peer].query_seconds.append(median(seconds))


def _rotated(peers: list[str], number: int) -> list[str]:
    """Start each round with another peer, so that none always follows the same one."""
    shift = number % len(peers)
    return peers[shift:] + peers[:shift]


def _compare(vectors: dict[str, dict[str, FloatArray]], results: dict[str, Result]) -> None:
    reference = vectors.get(REFERENCE)
    if reference is None:
        return
    for peer, sets in vectors.items():
        cosines = np.concatenate([_cosines(found, reference[name][: len(found)]) for name, found in sets.items()])
        results[peer].worst_cosine = float(cosines.min())
        results[peer].mean_cosine = float(cosines.mean())
        results[peer].compared_texts = len(cosines)


def _cosines(first: FloatArray, second: FloatArray) -> FloatArray:
    """Cosine of each row of one array with the same row of the other, computed in float64."""
    left, right = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.asarray((left * right).sum(axis=1) / lengths, dtype=np.float32)

"""The measurement behind ``minilm bench``: every contender in its own process, in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import fmean, median

import numpy as np

from minilm_retrieval.bench.contenders import MAKER, contenders
from minilm_retrieval.bench.texts import TextSet, build_text_sets
from minilm_retrieval.bench.worker_process import FloatArray, WorkerProcess
from minilm_retrieval.errors import BenchmarkError
from minilm_retrieval.model import load_model
from minilm_retrieval.options import PRECISIONS
from minilm_retrieval.similarity import cosine_or_zero

TIMED = ("short", "mixed", "long")
EXACT = "float32"

_SIZES = {"short": 256, "mixed": 96, "long": 32, "queries": 150}
# Chroma's function pads every text to 256 tokens and takes a second for so many.
_SLOW_SIZE = 24
_SLOW = ("Chroma's default function",)
_WARM_UP = 10
# Below this a faster precision is not worth other vectors.
_WORTH_CHANGING = 1.2


@dataclass
class Figures:
    """What was measured of one contender.

    Attributes:
        texts_per_second: For each set of texts, the median of the rounds.
        speedup: The same, as multiples of this library's float32: medians of the rounds' ratios.
        query_ms: One short text after another: the median, in milliseconds.
        query_p99_ms: The 99th percentile.
        mean_cosine: With float32's vectors of the same texts.
        worst_cosine: Likewise.
        peak_memory: Bytes; 0 where the system does not tell.
    """

    texts_per_second: dict[str, float] = field(default_factory=dict)
    speedup: dict[str, float] = field(default_factory=dict)
    query_ms: float = 0.0
    query_p99_ms: float = 0.0
    mean_cosine: float = 0.0
    worst_cosine: float = 0.0
    peak_memory: int = 0


@dataclass
class BenchReport:
    """The figures of all contenders.

    Attributes:
        threads: How many each had.
        rounds: How many there were.
        tokens: Mean tokens of a text in each set.
        figures: By contender.
        absent: Contenders that were not measured, and why.
        recommendation: What to use on this machine, in a sentence or two.
    """

    threads: int
    rounds: int
    tokens: dict[str, float]
    figures: dict[str, Figures]
    absent: dict[str, str]
    recommendation: str


@dataclass
class _Raw:
    """One contender's process, and what its rounds gave."""

    worker: WorkerProcess
    vectors: FloatArray
    rates: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in TIMED})
    query_seconds: list[float] = field(default_factory=list)


def measure(threads: int, rounds: int, say: Callable[[str], None] = lambda message: None) -> BenchReport:
    """Measure every contender that this machine has.

    Args:
        threads: How many each may use.
        rounds: Every contender is measured once a round, in turn.
        say: Is told what is going on.

    Raises:
        ModelNotFoundError: There is no model to measure.
        BenchmarkError: This library's own float32 failed.
    """
    model = load_model()
    sets = build_text_sets(model.tokenizer.count, _SIZES)
    absent = {name: reason for name, reason in contenders().items() if reason is not None}
    raw: dict[str, _Raw] = {}
    with ExitStack() as stack:
        for name in contenders():
            if name in absent:
                continue
            say(f"loading {name}")
            arguments = (name, str(threads), str(model.files.directory))
            worker = stack.enter_context(WorkerProcess(MAKER, arguments, threads))
            try:
                vectors = worker.vectors([text for kind in TIMED for text in _chosen(name, sets[kind])])
                worker.query_seconds(sets["queries"].texts[:_WARM_UP])
            except BenchmarkError as error:
                if name == EXACT:
                    raise
                absent[name] = str(error).splitlines()[-1]
                continue
            raw[name] = _Raw(worker, vectors)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            _round(raw, sets, number, absent)
        figures = {name: _figures(name, raw, sets) for name in raw}
    tokens = {name: sets[name].mean_tokens for name in TIMED}
    return BenchReport(threads, rounds, tokens, figures, absent, recommendation(figures))


def recommendation(figures: dict[str, Figures]) -> str:
    """Say which precision to use, from what was measured."""
    gains = {name: fmean(figures[name].speedup.values()) for name in PRECISIONS if name in figures}
    worthwhile = {name: gain for name, gain in gains.items() if name != EXACT and gain >= _WORTH_CHANGING}
    if not worthwhile:
        return "Stay with float32: here no other precision is faster by a fifth."
    said = [
        f"{name} embeds {gain:.1f} times as many texts as float32, with a cosine of {figures[name].mean_cosine:.5f} to "
        f"it on average and {figures[name].worst_cosine:.5f} at worst"
        for name, gain in worthwhile.items()
    ]
    best = max(worthwhile, key=lambda name: worthwhile[name])
    # The closer of two precisions of about the same speed.
    chosen = next(name for name in worthwhile if worthwhile[name] * _WORTH_CHANGING >= worthwhile[best])
    return (
        f"If speed matters, use precision={chosen!r} on this machine: {'; '.join(said)}. "
        "float32 stays the choice for exact vectors, and for collections that other tools write to."
    )


def _chosen(name: str, texts: TextSet) -> list[str]:
    return texts.texts[:_SLOW_SIZE] if name in _SLOW else texts.texts[: _SIZES[texts.name]]


def _round(raw: dict[str, _Raw], sets: dict[str, TextSet], number: int, absent: dict[str, str]) -> None:
    """Measure everything once; one that fails is measured no further."""
    for kind in (*TIMED, "queries"):
        # Each round begins with another one, so that none always follows the same one.
        for name in list(raw)[number % len(raw) :] + list(raw)[: number % len(raw)]:
            try:
                _measure_one(name, raw[name], sets[kind])
            except BenchmarkError as error:
                if name == EXACT:
                    raise
                absent[name] = str(error).splitlines()[-1]
                del raw[name]


def _measure_one(name: str, own: _Raw, texts: TextSet) -> None:
    chosen = _chosen(name, texts)
    if texts.name == "queries":
        own.query_seconds.extend(own.worker.query_seconds(chosen))
    else:
        own.rates[texts.name].append(len(chosen) / own.worker.seconds(chosen))


def _figures(name: str, raw: dict[str, _Raw], sets: dict[str, TextSet]) -> Figures:
    own, exact = raw[name], raw[EXACT]
    counts = [len(_chosen(name, sets[kind])) for kind in TIMED]
    rows = np.concatenate([np.arange(count) for count in counts]) + np.repeat(
        np.cumsum([0, *(len(_chosen(EXACT, sets[kind])) for kind in TIMED)])[:-1], counts
    )
    cosines = [
        float(cosine_or_zero(one, other[None])[0]) for one, other in zip(own.vectors, exact.vectors[rows], strict=True)
    ]
    return Figures(
        texts_per_second={kind: median(own.rates[kind]) for kind in TIMED},
        speedup={
            kind: median(one / other for one, other in zip(own.rates[kind], exact.rates[kind], strict=True))
            for kind in TIMED
        },
        query_ms=1000 * median(own.query_seconds),
        query_p99_ms=1000 * float(np.quantile(own.query_seconds, 0.99)),
        mean_cosine=fmean(cosines),
        worst_cosine=min(cosines),
        peak_memory=own.worker.peak_memory(),
    )

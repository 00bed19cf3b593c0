"""What the library promises, held against what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from measure import REFERENCE, Result

OWN = "minilm"
CHROMA = "chroma-default"
FASTEMBED = "fastembed"

# What each precision shall reach, in multiples of the reference; float32's are the highest that were set.
TIMES_REFERENCE = {
    "float32": {"short": 1.8, "mixed": 2.0, "long": 1.55},
    "bfloat16": {"short": 3.4, "mixed": 3.5, "long": 2.8},
    "int8": {"short": 4.0, "mixed": 4.0, "long": 3.3},
}
PRECISION_PEERS = {"float32": OWN, "bfloat16": "minilm-bfloat16", "int8": "minilm-int8"}
_LEAST_COSINE = {"bfloat16": 0.9998}
_MEAN_COSINE = {"int8": 0.997}
_TIMES_CHROMA = 25.0
# This library's class for a framework, the class that it takes the place of, and what the tables call both.
_WRAPPERS = {
    "minilm-langchain": ("langchain", "LangChain"),
    "minilm-llama-index": ("llama-index", "LlamaIndex"),
}
_WRAPPED_SETS = ("short", "long")
_SHARE_OF_CORE = 0.95
_TIMES_REPLACED = 1.7
_COLD_START_SECONDS = 1.2
_SHARE_OF_MEMORY = 0.5


@dataclass(frozen=True)
class Goal:
    """A promise, the figure that decides it, and whether it was kept; ``None`` where a peer is missing."""

    promise: str
    measured: str
    reached: bool | None


def ratios(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Divide each round of one peer by the same round of another.

    >>> ratios([600.0, 300.0], [300.0, 200.0])
    [2.0, 1.5]
    """
    return [one / other for one, other in zip(first, second, strict=True)]


def check_goals(results: dict[str, Result]) -> list[Goal]:
    """Hold the results against every promise."""
    speed = [
        _speed(results, peer, REFERENCE, name, floor, "sentence-transformers", f"{precision}, ")
        for precision, peer in PRECISION_PEERS.items()
        for name, floor in TIMES_REFERENCE[precision].items()
    ]
    chroma = _speed(results, OWN, CHROMA, "short", _TIMES_CHROMA, "Chroma's default function")
    wrappers = [
        goal
        for wrapper, (replaced, framework) in _WRAPPERS.items()
        for name in _WRAPPED_SETS
        for goal in (
            _speed(results, wrapper, OWN, name, _SHARE_OF_CORE, "the core", f"in {framework}, "),
            _speed(results, wrapper, replaced, name, _TIMES_REPLACED, "its Hugging Face class", f"in {framework}, "),
        )
    ]
    return [*speed, *_cosines(results), chroma, _query(results), _cold_start(results), _memory(results), *wrappers]


def _speed(
    results: dict[str, Result], own: str, peer: str, name: str, floor: float, called: str, where: str = ""
) -> Goal:
    promise = f"{where}{name} texts: at least {floor:g} times {called}"
    if own not in results or peer not in results:
        return _unmeasured(promise)
    found = median(ratios(results[own].texts_per_second[name], results[peer].texts_per_second[name]))
    return Goal(promise, f"{found:.2f} times", found >= floor)


def _cosines(results: dict[str, Result]) -> list[Goal]:
    """Cosines of the reduced precisions with the reference, over all texts that were compared."""
    goals = []
    for promised, called, figure in (
        (_LEAST_COSINE, "worst", lambda result: result.worst_cosine),
        (_MEAN_COSINE, "mean", lambda result: result.mean_cosine),
    ):
        for precision, floor in promised.items():
            promise = f"{precision}, {called} cosine: at least {floor:g}"
            result = results.get(PRECISION_PEERS[precision])
            found = None if result is None else figure(result)
            goals.append(_unmeasured(promise) if found is None else Goal(promise, f"{found:.5f}", found >= floor))
    return goals


def _query(results: dict[str, Result]) -> Goal:
    promise = "one query, p50: no slower than fastembed"
    if OWN not in results or FASTEMBED not in results:
        return _unmeasured(promise)
    own, other = (1000 * median(results[peer].query_seconds) for peer in (OWN, FASTEMBED))
    return Goal(promise, f"{own:.2f} ms, fastembed {other:.2f} ms", own <= other)


def _cold_start(results: dict[str, Result]) -> Goal:
    promise = f"new process to first vector: under {_COLD_START_SECONDS:g} s"
    if OWN not in results:
        return _unmeasured(promise)
    seconds = median(results[OWN].cold_start_seconds)
    return Goal(promise, f"{seconds:.2f} s", seconds < _COLD_START_SECONDS)


def _memory(results: dict[str, Result]) -> Goal:
    promise = "peak memory: less than half of that of Chroma's default function"
    if OWN not in results or CHROMA not in results:
        return _unmeasured(promise)
    share = results[OWN].peak_memory / results[CHROMA].peak_memory
    return Goal(promise, f"{share:.0%} of it", share < _SHARE_OF_MEMORY)


def _unmeasured(promise: str) -> Goal:
    return Goal(promise, "not measured", None)

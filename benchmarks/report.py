"""Measurements as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

from goals import PRECISION_PEERS, TIMES_REFERENCE, check_goals, ratios
from measure import REFERENCE, TIMED_SETS, Plan, Result
from peers import PEERS
from roofline import operations

from minilm_retrieval.bench.texts import TextSet

_BEGIN = "<!-- results: compare.py --write puts them here -->"
_END = "<!-- end of results -->"
_MEGABYTE = 1_000_000


def render(
    environment: dict[str, str],
    sets: dict[str, TextSet],
    plan: Plan,
    results: dict[str, Result],
    absent: dict[str, str],
    rates: dict[str, float],
) -> str:
    """Return the whole report.

    Args:
        environment: What the figures depend on, by name.
        sets: The texts.
        plan: How much was measured.
        results: By peer.
        absent: Peers that were not measured, and why.
        rates: Operations a second of the processor's matrix products, by precision.
    """
    return "\n\n".join(
        [
            _throughput(results, absent),
            _single_figures(results, absent, len(sets["long"].texts)),
            _goals(results),
            _roofline(sets, plan, results, rates),
            _texts(sets, plan),
            _method(plan, results),
            _setups(results),
            _table(("", ""), environment.items()),
        ]
    )


def rewrite(file: Path, report: str) -> None:
    """Put the report between the file's markers.

    Raises:
        ValueError: The file has no markers.
    """
    content = file.read_text(encoding="utf-8")
    before, begin, rest = content.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{file} lacks the lines {_BEGIN!r} and {_END!r}, between which the report goes.")
    file.write_text(f"{before}{begin}\n\n{report}\n\n{end}{after}", encoding="utf-8")


def _throughput(results: dict[str, Result], absent: dict[str, str]) -> str:
    header = ("texts per second", *TIMED_SETS)
    note = (
        f"In brackets: how many times as fast as {PEERS[REFERENCE].name}, the median of the rounds' ratios, and the "
        "smallest and largest of them."
    )
    return _peer_table(header, results, absent, lambda peer: [_speed(results, peer, name) for name in TIMED_SETS], note)


def _speed(results: dict[str, Result], peer: str, name: str) -> str:
    own = results[peer].texts_per_second[name]
    figure = f"{median(own):.0f}" if median(own) >= 100 else f"{median(own):.1f}"
    if REFERENCE not in results or peer == REFERENCE:
        return figure
    found = ratios(own, results[REFERENCE].texts_per_second[name])
    return f"{figure} ({_ratio(median(found))}; {_ratio(min(found))}-{_ratio(max(found))})"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _single_figures(results: dict[str, Result], absent: dict[str, str], long_texts: int) -> str:
    def cells(peer: str) -> list[str]:
        result = results[peer]
        return [
            f"{1000 * median(result.query_seconds):.2f} ms",
            f"{median(result.cold_start_seconds):.2f} s",
            f"{result.peak_memory / _MEGABYTE:.0f} MB",
            "the reference" if peer == REFERENCE else _cosine(result),
        ]

    header = (
        "",
        "one query, p50",
        "new process to first vector",
        f"peak memory, {long_texts} long texts",
        "worst and mean cosine",
    )
    note = f"Cosines are those with {PEERS[REFERENCE].name}' vector of the same text; in brackets, of how many."
    return _peer_table(header, results, absent, cells, note)


def _cosine(result: Result) -> str:
    if result.worst_cosine is None:
        return "not compared"
    return f"{result.worst_cosine:.6f}, {result.mean_cosine:.6f} ({result.compared_texts})"


def _goals(results: dict[str, Result]) -> str:
    said = {True: "yes", False: "**no**", None: "-"}
    rows = ((goal.promise, goal.measured, said[goal.reached]) for goal in check_goals(results))
    return _table(("goal", "measured", "reached"), rows)


def _roofline(sets: dict[str, TextSet], plan: Plan, results: dict[str, Result], rates: dict[str, float]) -> str:
    """Which share of the processor's matrix-product rate is reached, and which one a goal would take."""
    cost = {name: operations(sets[name].tokens[: plan.timed[name]]) for name in TIMED_SETS}

    def shares(peer: str, precision: str, factors: dict[str, float]) -> list[str]:
        speeds = {name: median(results[peer].texts_per_second[name]) for name in TIMED_SETS}
        return [_share(factors[name] * speeds[name] * cost[name], rates[precision]) for name in TIMED_SETS]

    once = dict.fromkeys(TIMED_SETS, 1.0)
    rows = [["operations a text", "", *(f"{cost[name] / 1e9:.2f} billion" for name in TIMED_SETS)]]
    for precision, rate in rates.items():
        roof = f"{rate / 1e9:.0f}"
        rows.append(
            [PEERS[PRECISION_PEERS[precision]].name, roof, *shares(PRECISION_PEERS[precision], precision, once)]
        )
        if REFERENCE in results:
            wanted = shares(REFERENCE, precision, TIMES_REFERENCE[precision])
            rows.append([f"what the goal in {precision} would take", roof, *wanted])
    if REFERENCE in results and "float32" in rates:
        rows.append([PEERS[REFERENCE].name, f"{rates['float32'] / 1e9:.0f}", *shares(REFERENCE, "float32", once)])
    note = (
        "Operations of matrix products, in billions a second, and their share of the roof: the rate at which this "
        "processor was measured to multiply matrices of the model's shapes in that precision (`benchmarks/roofline.py`)"
        ". The rest of the work, such as softmax, GELU, normalisation and tokenising, comes on top of it."
    )
    return f"{_table(('', 'roof', *TIMED_SETS), rows)}\n\n{note}"


def _share(reached: float, rate: float) -> str:
    return f"{reached / 1e9:.0f} ({reached / rate:.0%})"


def _texts(sets: dict[str, TextSet], plan: Plan) -> str:
    rows = (
        (name, str(timed), f"{sets[name].mean_tokens:.1f}", f"{min(sets[name].tokens)} to {max(sets[name].tokens)}")
        for name, timed in plan.timed.items()
    )
    return _table(("texts", "timed", "mean tokens", "tokens"), rows)


def _method(plan: Plan, results: dict[str, Result]) -> str:
    method = (
        f"Medians of {plan.rounds} interleaved rounds, each with {plan.queries} queries; cold start: median of "
        f"{plan.cold_starts}."
    )
    slow = " and ".join(PEERS[peer].name for peer in results if PEERS[peer].slow)
    if not slow:
        return method
    return f"{method} {slow} would take minutes and are timed on the first {plan.slow_timed} texts of each set."


def _setups(results: dict[str, Result]) -> str:
    return "\n".join(f"- **{PEERS[peer].name}**: {PEERS[peer].setup}" for peer in PEERS if peer in results)


def _peer_table(
    header: Sequence[str],
    results: dict[str, Result],
    absent: dict[str, str],
    cells: Callable[[str], list[str]],
    note: str,
) -> str:
    rows = []
    for peer in PEERS:
        if peer in results:
            rows.append([PEERS[peer].name, *cells(peer)])
        elif peer in absent:
            rows.append([PEERS[peer].name, absent[peer], *[""] * (len(header) - 2)])
    return f"{_table(header, rows)}\n\n{note}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

"""Compare this library with the other ways to embed with all-MiniLM-L6-v2, in one run on one machine.

    python benchmarks/compare.py             # some seventeen minutes on two processors
    python benchmarks/compare.py --quick     # two to three minutes, for a look
    python benchmarks/compare.py --write     # also rewrite the tables in benchmarks/README.md

What is compared, and why it is fair, is written in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import export_onnx
from environment import describe
from goals import PRECISION_PEERS, check_goals
from measure import WARM_UP_QUERIES, Plan, Result, measure
from peers import PEERS
from processors import Processors
from report import render, rewrite
from roofline import measured_rate

from minilm_retrieval.bench.texts import TextSet, build_text_sets
from minilm_retrieval.bench.worker_process import WorkerProcess
from minilm_retrieval.model_files import TOKENIZER, find_model
from minilm_retrieval.tokenizer import Tokenizer

README = Path(__file__).with_name("README.md")

_MEMORY_TEXTS = 128
# Sentences that the reference has left for queries beside those for warming up; each is asked once.
_QUERIES = 220


def main() -> None:
    """Run the comparison that the command line asks for."""
    options = _options()
    plan = _plan(options)
    processors = Processors(options.threads, options.patience)
    model = find_model().directory
    sets = build_text_sets(Tokenizer(model / TOKENIZER).count, plan.sizes)
    absent = {peer: "not installed" for peer in options.peers if not PEERS[peer].installed()}
    with ExitStack() as stack:
        onnx = options.onnx or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minilm-benchmark-")))
        readers = [peer for peer in options.peers if PEERS[peer].reads_onnx and peer not in absent]
        failure = _export(model, onnx) if readers else None
        if failure:
            absent.update(dict.fromkeys(readers, f"no ONNX file: {failure}"))
        present = [peer for peer in options.peers if peer not in absent]

        def start(peer: str) -> WorkerProcess:
            arguments = (peer, str(options.threads), str(model), str(onnx))
            return WorkerProcess("peers:load", arguments, options.threads, Path(__file__).parent)

        own = [precision for precision, peer in PRECISION_PEERS.items() if peer in present]
        rates: dict[str, list[float]] = {precision: [] for precision in own}
        _measure_rates(rates, options.threads, processors)
        results = measure(present, sets, plan, start, processors, _say)
        _measure_rates(rates, options.threads, processors)
    environment = describe(options.threads, processors)
    report = render(
        environment, sets, plan, results, absent, {precision: max(found) for precision, found in rates.items()}
    )
    print(report)
    if options.write:
        rewrite(README, report)
    if options.json:
        options.json.write_text(
            json.dumps(_raw(environment, sets, plan, results, absent, rates), indent=2), encoding="utf-8"
        )


def _measure_rates(rates: dict[str, list[float]], threads: int, processors: Processors) -> None:
    for precision, found in rates.items():
        processors.wait_until_idle()
        found.append(measured_rate(threads, precision))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare embedders of all-MiniLM-L6-v2 in one run.")
    parser.add_argument(
        "--threads", type=_positive, default=2, help="threads and processors for every peer (default 2)"
    )
    parser.add_argument("--rounds", type=_positive, help="interleaved rounds (default 9, with --quick 2)")
    parser.add_argument(
        "--patience",
        type=float,
        default=120,
        metavar="SECONDS",
        help="wait so long, all in all, for other programs to leave the processors alone (default 120)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer texts and rounds, one cold start")
    parser.add_argument(
        "--peers", nargs="+", choices=list(PEERS), default=list(PEERS), metavar="PEER", help=f"from {', '.join(PEERS)}"
    )
    parser.add_argument("--write", action="store_true", help="rewrite the tables in benchmarks/README.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures")
    parser.add_argument("--onnx", type=Path, metavar="DIR", help="keep the ONNX export here and use it again")
    options = parser.parse_args()
    if options.rounds and options.rounds > _QUERIES:
        parser.error(f"--rounds {options.rounds}: at most {_QUERIES}, since there is a query for each round at least")
    return options


def _plan(options: argparse.Namespace) -> Plan:
    quick: bool = options.quick
    rounds = options.rounds or (2 if quick else 9)
    queries = min(15 if quick else 20, _QUERIES // rounds)
    timed = {"short": 128, "mixed": 64, "long": 32} if quick else {"short": 512, "mixed": 192, "long": 64}
    sizes = {**timed, "long": _MEMORY_TEXTS, "queries": WARM_UP_QUERIES + queries * rounds}
    cold_starts = 1 if quick else min(3, rounds)
    return Plan(sizes, timed, 32 if quick else 48, rounds, cold_starts, queries)


def _export(model: Path, onnx: Path) -> str | None:
    """Export in a process of its own, so that this one stays small; return why it failed, if it did."""
    if export_onnx.is_exported(onnx):
        return None
    _say("exporting the model to ONNX")
    command = [sys.executable, export_onnx.__file__, str(model), str(onnx)]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=offline)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


def _raw(
    environment: dict[str, str],
    sets: dict[str, TextSet],
    plan: Plan,
    results: dict[str, Result],
    absent: dict[str, str],
    rates: dict[str, list[float]],
) -> dict[str, object]:
    return {
        "environment": environment,
        "plan": asdict(plan),
        "mean_tokens": {name: texts.mean_tokens for name, texts in sets.items()},
        "results": {peer: asdict(result) for peer, result in results.items()},
        "absent": absent,
        "matrix_product_rates": rates,
        "goals": [asdict(goal) for goal in check_goals(results)],
    }


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return number


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

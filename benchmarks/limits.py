"""Does speed stay and memory stop growing, whatever the work? Four measurements.

    python benchmarks/limits.py memory         # random lengths and sizes, call after call
    python benchmarks/limits.py proportion     # 1,000, 10,000 and 100,000 short texts
    python benchmarks/limits.py cosines        # each precision against float32, over 5,000 pieces of text
    python benchmarks/limits.py one-processor  # one of several processors allowed, by affinity

`--precision` chooses one (float32), `--calls N` how many calls the first one makes (5,000). The last one starts
processes that only print a rate, with `rate`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median

import numpy as np

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.options import PRECISIONS

_STATUS = Path("/proc/self/status")
_WORDS = " ".join(topics[name] for name in sorted(topics)).split()
_MOST_WORDS = 250
_MOST_TEXTS = 8
_SHORT_WORDS = 10
_ROUNDS = 5
_PIECES = 5000
_LONGEST_PIECE = 1000


def main() -> None:
    """Run the measurement that the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure memory over time, proportion, and one processor of several.")
    parser.add_argument("what", choices=("memory", "proportion", "cosines", "one-processor", "rate"))
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--calls", type=int, default=5000)
    options = parser.parse_args()
    embedder = MiniLMEmbedder(precision=options.precision, on_truncate="ignore")
    if options.what == "memory":
        memory(embedder, options.calls)
    elif options.what == "proportion":
        proportion(embedder)
    elif options.what == "cosines":
        cosines(embedder)
    elif options.what == "one-processor":
        one_processor(options.precision)
    else:
        print(_rate(embedder, 600))


def memory(embedder: MiniLMEmbedder, calls: int) -> None:
    """Embed random numbers of texts of random lengths, and print the resident memory as it goes."""
    chance = random.Random(0)
    texts = 0
    early = 0.0
    for call in range(1, calls + 1):
        size = chance.randint(1, _MOST_TEXTS)
        embedder.encode([" ".join(chance.choices(_WORDS, k=chance.randint(1, _MOST_WORDS))) for _ in range(size)])
        texts += size
        if call == max(1, calls // 5):
            early = resident("VmRSS")
        if call % max(1, calls // 10) == 0:
            print(f"{call} calls, {texts} texts: {resident('VmRSS'):.0f} MB resident", flush=True)
    growth = resident("VmRSS") / early - 1
    print(f"growth since call {calls // 5}: {growth:+.1%}; peak {resident('VmHWM'):.0f} MB")


def proportion(embedder: MiniLMEmbedder) -> None:
    """Embed ever more short texts from a stream, and print the rate and the resident memory."""
    embedder.warmup()
    for count, rounds in ((1_000, 9), (10_000, 3), (100_000, 1)):
        rate = median(_rate(embedder, count) for _ in range(rounds))
        print(f"{count} texts, median of {rounds}: {rate:.0f} texts/s; {resident('VmRSS'):.0f} MB resident", flush=True)


def cosines(exact: MiniLMEmbedder) -> None:
    """Compare each precision's vectors with float32's, over pieces of 1 to 1,000 words, short ones more often."""
    chance = random.Random(0)
    texts = []
    for _ in range(_PIECES):
        length = round(_LONGEST_PIECE ** (chance.random() ** 2))
        start = chance.randrange(len(_WORDS) - length)
        texts.append(" ".join(_WORDS[start : start + length]))
    expected = exact.encode(texts).astype(np.float64)
    for precision in PRECISIONS[1:]:
        vectors = MiniLMEmbedder(precision=precision, on_truncate="ignore").encode(texts).astype(np.float64)
        found = (vectors * expected).sum(axis=1)
        print(f"{precision}: mean cosine {found.mean():.6f}, worst {found.min():.6f}, over {len(texts)} texts")


def one_processor(precision: str) -> None:
    """Compare the default on one allowed processor with one thread on all of them, in alternating processes."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        sys.exit("This process may run on one processor only; the comparison needs two.")
    command = [sys.executable, __file__, "rate", "--precision", precision]
    ratios = []
    for _ in range(_ROUNDS):
        confined = _run(["taskset", "--cpu-list", str(processors[0]), *command], None)
        free = _run(command, "1")
        ratios.append(confined / free)
        print(f"one processor {confined:.0f} texts/s, one thread on {len(processors)} {free:.0f}", flush=True)
    print(f"median of the rounds' ratios: {median(ratios):.1%}")


def _run(command: list[str], threads: str | None) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "MINILM_THREADS"}
    if threads is not None:
        environment["MINILM_THREADS"] = threads
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def _rate(embedder: MiniLMEmbedder, count: int) -> float:
    """Return texts a second over a stream of different short texts, the engine being compiled already."""
    embedder.encode(list(itertools.islice(short_texts(1), 200)))
    started = time.perf_counter()
    done = sum(len(vectors) for _, vectors in embedder.encode_stream(itertools.islice(short_texts(0), count)))
    return done / (time.perf_counter() - started)


def short_texts(seed: int) -> Iterator[str]:
    """Yield different pieces of the language reference, of 5 to 10 words, without end."""
    chance = random.Random(seed)
    while True:
        start = chance.randrange(len(_WORDS) - _SHORT_WORDS)
        yield " ".join(_WORDS[start : start + chance.randint(_SHORT_WORDS // 2, _SHORT_WORDS)])


def resident(field: str) -> float:
    """Return a figure of this process's memory in megabytes, as Linux tells it."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()

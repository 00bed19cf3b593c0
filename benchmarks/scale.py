"""What more texts cost: curves of a growing collection in a Chroma server, and processor time of embedding.

    python benchmarks/scale.py embed --cache DIR   # the vectors of the passages, kept for the next run
    python benchmarks/scale.py store --cache DIR   # some ten minutes for 200,000 passages, with the vectors there
    python benchmarks/scale.py cost                # processor time a million texts, in each precision
    python benchmarks/scale.py plot                # draws the curves again, from their table

`--points` chooses the sizes of the collection, `--scans` those at which one query is also answered by reading every
vector, `--precision` that of the passages (int8). `--single` and `--many` say how many queries one reader and sixteen
readers ask; `--minutes` bounds the run: no further size is begun after so many. `--write` puts tables and plot into
docs/scale/, after each size. The server is `chroma run` in a temporary folder, which goes with it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from processors import Processors
from scale_report import plot, read_points, write_points, write_table
from scale_store import Plan, Point, Served, grow, usable_processors
from scale_texts import Corpus, load_corpus
from services import Service, running

from minilm_retrieval import MiniLMEmbedder, Retriever, open_collection
from minilm_retrieval.bench.texts import build_text_sets
from minilm_retrieval.options import PRECISIONS

_POINTS = [10_000, 25_000, 50_000, 100_000, 150_000, 200_000]
_SCANS = [10_000, 100_000, 200_000]
_COST_TEXTS = {"short": 512, "mixed": 192, "long": 128, "queries": 60}
_COST_SECONDS = 3.0
_COST_ROUNDS = 3


def main() -> None:
    """Run the measurement that the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure what more texts cost.")
    parser.add_argument("what", choices=("embed", "store", "cost", "plot"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--points", type=int, nargs="+", default=_POINTS)
    parser.add_argument("--scans", type=int, nargs="*", default=_SCANS)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--single", type=int, default=1000)
    parser.add_argument("--many", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.what == "cost":
        cost(options.write)
    elif options.what == "plot":
        plot(read_points())
    elif options.cache is None:
        parser.error("embed and store need --cache DIR, where the passages and their vectors are kept")
    else:
        embedder = MiniLMEmbedder(precision=options.precision, on_truncate="ignore")
        queries = max(options.single, options.many)
        corpus = load_corpus(options.cache, max(options.points), queries, embedder)
        lengths = f"{corpus.tokens:.1f} tokens and {sum(map(len, corpus.texts)) / len(corpus.texts):.0f} characters"
        print(f"{len(corpus.texts)} passages of {lengths} on average, {options.precision}", flush=True)
        if options.what == "store":
            plan = Plan(options.points, options.single, options.many, options.scans, options.minutes * 60)
            store(corpus, embedder, plan, options.write)


def store(corpus: Corpus, embedder: MiniLMEmbedder, plan: Plan, write: bool) -> None:
    """Start a server, grow a collection in it, and print what is measured at each size."""
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "chroma"
        for point in grow(lambda: _serve(folder, embedder), corpus, plan, folder):
            points.append(point)
            print(", ".join(f"{key} {value:.4g}" for key, value in asdict(point).items()), flush=True)
            if write:
                write_points(points)


@contextmanager
def _serve(folder: Path, embedder: MiniLMEmbedder) -> Iterator[Served]:
    chroma = str(Path(sys.executable).with_name("chroma"))
    command = (chroma, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", "{port}")
    with running(Service(command, base="", probe="/api/v2/heartbeat")) as (address, process):
        port = urlsplit(address).port
        collection = open_collection("docs", host="127.0.0.1", port=port, create=True, embedder=embedder)
        yield Served(collection, Retriever(collection, embedder), process.pid)


def cost(write: bool) -> None:
    """Print the processor hours of a million texts of each length in each precision, and texts a second."""
    rows = []
    processors = Processors(usable_processors(), patience=0)
    for precision in PRECISIONS:
        embedder = MiniLMEmbedder(precision=precision)
        sets = build_text_sets(lambda text, counter=embedder: counter.count_tokens([text])[0], _COST_TEXTS)  # type: ignore[misc]
        for name in ("short", "mixed", "long"):
            texts = sets[name].texts
            embedder.encode(texts)
            rounds = [_encode(embedder, texts) for _ in range(_COST_ROUNDS)]
            row = {
                "precision": precision,
                "texts": name,
                "tokens": round(sets[name].mean_tokens, 1),
                "cpu_ms_per_text": median(used for used, _ in rounds) * 1000,
                "cpu_hours_per_million": median(used for used, _ in rounds) * 1e6 / 3600,
                "texts_per_second": median(rate for _, rate in rounds),
            }
            rows.append(row)
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    print(f"taken by other programs: {processors.others_share() or 0:.1%} of the processors' time")
    if write:
        write_table("cost", rows)


def _encode(embedder: MiniLMEmbedder, texts: list[str]) -> tuple[float, float]:
    """Embed texts again and again; return the processor seconds of one, and texts a second."""
    began, used, calls = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < _COST_SECONDS:
        embedder.encode(texts)
        calls += 1
    count = calls * len(texts)
    return (time.process_time() - used) / count, count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()

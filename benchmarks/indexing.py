"""What indexing costs beside embedding: throughput, a tree of files again and again, and a growing collection.

    python benchmarks/indexing.py throughput   # short texts: embedding alone, indexing, and the store alone
    python benchmarks/indexing.py tree         # 2,000 files of the standard library: first, second, edited, pruned
    python benchmarks/indexing.py growth       # 100,000 passages: rate and memory as the collection grows

`--precision` chooses one; without it `throughput` measures float32 and int8, `tree` float32 and `growth` int8.
`--texts N` and `--files N` choose another size, `--rounds N` the rounds of `throughput` (5). Everything is stored in an
embedded Chroma in a temporary folder.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from limits import resident, short_texts

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from snapshots import assert_equal, built_from_scratch, snapshot
from source_tree import write_tree

from minilm_retrieval import Document, MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.ingest import IndexReport, load_documents

_TEXTS = {"throughput": 10_000, "growth": 100_000}
_FILES = 2000
_WRITE_BATCH = 1000
_STEP = 10_000
_SHARE = 100


def main() -> None:
    """Run the measurement that the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure indexing.")
    parser.add_argument("what", choices=("throughput", "tree", "growth"))
    parser.add_argument("--precision")
    parser.add_argument("--texts", type=int)
    parser.add_argument("--files", type=int, default=_FILES)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "throughput":
            for precision in [options.precision] if options.precision else ["float32", "int8"]:
                throughput(Path(folder), precision, options.texts or _TEXTS["throughput"], options.rounds)
        elif options.what == "tree":
            tree(Path(folder), options.precision or "float32", options.files)
        else:
            growth(Path(folder), options.precision or "int8", options.texts or _TEXTS["growth"])


def throughput(folder: Path, precision: str, count: int, rounds: int) -> None:
    """Embed short texts, index them, and write their vectors, in turns; print rates and the ratios of each round."""
    embedder = MiniLMEmbedder(precision=precision)
    texts = list(itertools.islice(short_texts(0), count))
    vectors = embedder.encode(texts)
    tokens = sum(embedder.count_tokens(texts)) / count
    print(f"{precision}, {count} texts of {tokens:.1f} tokens:", flush=True)
    alone, whole, store, shares, bounds = [], [], [], [], []
    for number in range(rounds):
        place = folder / f"{precision}-{number}"
        documents = [Document(f"text {row}", text) for row, text in enumerate(texts)]
        collections = _new(place / "whole", embedder), _new(place / "store", embedder)
        actions = {
            "embedding": lambda: sum(len(rows) for _, rows in embedder.encode_stream(texts)),
            "indexing": partial(index_documents, collections[0], documents, embedder),
            "writing": partial(_write, collections[1], texts, vectors),
        }
        # Each is first in turn, in case a machine slows down as it gets warm.
        names = deque(actions)
        names.rotate(number)
        timed = {name: _timed(actions[name]) for name in names}
        (embedding, embedding_cpu), (indexing, _), (writing, writing_cpu) = (timed[name] for name in actions)
        alone.append(count / embedding)
        whole.append(count / indexing)
        store.append(count / writing)
        shares.append(embedding / indexing)
        # Both use the same processors, so their processor times add up, however well they overlap.
        bounds.append(embedding_cpu / (embedding_cpu + writing_cpu))
        print(
            f"  embedding alone {alone[-1]:.0f}/s, indexing {whole[-1]:.0f}/s ({shares[-1]:.1%}), store alone "
            f"{store[-1]:.0f}/s; processor time a text: {embedding_cpu / count * 1e3:.2f} ms and "
            f"{writing_cpu / count * 1e3:.2f} ms, so at most {bounds[-1]:.1%}",
            flush=True,
        )
    print(
        f"  median: indexing reaches {median(shares):.1%} of embedding alone ({median(whole):.0f} of "
        f"{median(alone):.0f}/s); processor times would allow {median(bounds):.1%}; store alone {median(store):.0f}/s"
    )


def tree(folder: Path, precision: str, count: int) -> None:
    """Index a tree of files, again, after editing 1%, and after deleting 1%; compare with collections made afresh."""
    embedder = MiniLMEmbedder(precision=precision)
    embedder.warmup()
    files = write_tree(folder / "tree", count)
    size = sum(file.stat().st_size for file in files)
    print(f"{count} files, {size / 1e6:.1f} MB, {precision}:", flush=True)
    collection = _new(folder / "store", embedder)

    def run(name: str, prune: bool = False) -> float:
        report = index_documents(collection, _documents(folder), embedder, prune=prune)
        assert not report.failed
        print(f"  {name}: {_told(report)}", flush=True)
        return report.seconds

    first = run("first run")
    second = run("second run")
    print(f"  second of first run: {second / first:.1%}")
    for number, file in enumerate(files[::_SHARE]):
        file.write_text(f"{file.read_text(encoding='utf-8')}\nEdited, number {number}.\n", encoding="utf-8")
    run("1% edited")
    _compare(collection, folder, embedder, "edited")
    for file in files[1::_SHARE]:
        file.unlink()
    run("1% deleted", prune=True)
    _compare(collection, folder, embedder, "deleted")


def growth(folder: Path, precision: str, count: int) -> None:
    """Index many short passages in one run; print rate and memory as it goes, and what the store alone takes."""
    embedder = MiniLMEmbedder(precision=precision)
    embedder.warmup()
    print(f"{count} passages, {precision}:", flush=True)
    collection, indexing = _new(folder / "whole", embedder), _Marks()
    collection.upsert = indexing.noting(collection.upsert)
    documents = (Document(f"text {row}", text) for row, text in enumerate(itertools.islice(short_texts(0), count)))
    report = index_documents(collection, documents, embedder)
    assert (report.added, report.passages_written) == (count, count)
    whole = indexing.steps()

    texts = list(itertools.islice(short_texts(0), count))
    vectors = embedder.encode(texts)
    alone, writing = _new(folder / "alone", embedder), _Marks(quiet=True)
    alone.upsert = writing.noting(alone.upsert)
    _write(alone, texts, vectors)
    store = writing.steps()
    print(
        f"  the last {_STEP} take {whole[1] / whole[0]:.2f} times as long as the first; the store alone, writing the "
        f"same, {store[1] / store[0]:.2f} times ({_STEP / store[0]:.0f} and {_STEP / store[1]:.0f}/s); without the "
        f"store's seconds {(whole[1] - store[1]) / (whole[0] - store[0]):.2f} times"
    )
    print(
        f"  from the first to the last write, memory grows by {indexing.grown():.0f} MB; by {writing.grown():.0f} MB "
        "while the store alone writes the same, since it holds the index of what was written"
    )


class _Marks:
    """Notes when how many passages were written, and the memory then."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.times: list[float] = []
        self.counts: list[int] = []
        self.memory: list[float] = []

    def noting(self, write: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that writes and notes it."""

        def noted(**records: Any) -> None:
            write(**records)
            before = self.counts[-1] if self.counts else 0
            self.counts.append(before + len(records["ids"]))
            self.times.append(time.perf_counter())
            self.memory.append(resident("VmRSS"))
            if not self.quiet and self.counts[-1] // _STEP > before // _STEP:
                passed = self.times[-1] - self.times[0]
                print(f"  {self.counts[-1]} after {passed:.0f} s, {self.memory[-1]:.0f} MB resident", flush=True)

        return noted

    def grown(self) -> float:
        """Return by how many MB memory has grown since the first write."""
        return self.memory[-1] - self.memory[0]

    def steps(self) -> list[float]:
        """Return the seconds of the first and of the last so many passages, from the first write on."""
        ends = [self.counts[0], self.counts[0] + _STEP, self.counts[-1] - _STEP, self.counts[-1]]
        times = np.interp(ends, self.counts, self.times)
        return [float(times[1] - times[0]), float(times[3] - times[2])]


def _new(path: Path, embedder: MiniLMEmbedder) -> Any:
    return open_collection("docs", path=path, create=True, embedder=embedder)


def _documents(folder: Path) -> Iterator[Any]:
    return load_documents([folder / "tree"], include=["*"])


def _compare(collection: Any, folder: Path, embedder: MiniLMEmbedder, name: str) -> None:
    assert_equal(snapshot(collection), built_from_scratch(folder / name, _documents(folder), embedder))
    print(f"  the collection equals one made afresh: {collection.count()} passages", flush=True)


def _write(collection: Any, texts: list[str], vectors: Any) -> None:
    """Write what indexing would, in batches of the same size."""
    for start in range(0, len(texts), _WRITE_BATCH):
        rows = range(start, min(len(texts), start + _WRITE_BATCH))
        collection.upsert(
            ids=[f"minilm-{row:052}" for row in rows],
            embeddings=vectors[rows.start : rows.stop],
            documents=texts[rows.start : rows.stop],
            metadatas=[{"source": f"text {row}", "start": 0, "end": len(texts[row])} for row in rows],
        )


def _timed(action: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and processor seconds of an action."""
    started, used = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - started, time.process_time() - used


def _told(report: IndexReport) -> str:
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.stage_seconds.items() if seconds >= 0.05)
    return (
        f"{report.seconds:.1f} s; {report.added} added, {report.updated} updated, {report.unchanged} unchanged, "
        f"{report.deleted} deleted; {report.passages_written - report.passages_reused} embedded, "
        f"{report.passages_deleted} removed; seconds: {stages or 'none'}"
    )


if __name__ == "__main__":
    main()

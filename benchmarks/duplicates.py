"""All near-duplicate pairs of 50,000 texts: is none missing, how long does it take, in how much memory?

    python benchmarks/duplicates.py

Pieces of 5 to 10 words of the language reference are embedded once, in int8. Then, in turns, all pairs above the
threshold are found, and the matrix products that this takes (float32, the same blocks of the upper triangle) are done
alone; before each, the processors have to be idle. The pairs are compared with those of a reference that computes every
cosine similarity in float64. At last the command `minilm duplicates` is run on a file of the texts, for the memory that
it takes in all.

`--texts N`, `--threshold X` and `--rounds N` choose others, `--vectors FILE` keeps the vectors (.npy) for the next run,
`--patience SECONDS` is how long to wait, all in all, for a busy machine to become idle.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from limits import resident, short_texts
from processors import Processors

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.analysis import EmbeddedTexts, find_duplicates
from minilm_retrieval.rows import BLOCK, blocks

FloatArray = npt.NDArray[np.float32]
_REFERENCE_ROWS = 300


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure finding near-duplicates.")
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--threshold", type=float, default=0.95)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--patience", type=float, default=300)
    options = parser.parse_args()
    texts = list(itertools.islice(short_texts(0), options.texts))
    with tempfile.TemporaryDirectory() as folder:
        vectors = embedded(texts, options.vectors or Path(folder) / "vectors.npy")
        held = EmbeddedTexts([str(row) for row in range(len(texts))], texts, [{}] * len(texts), vectors)
        times(held, options.threshold, options.rounds, options.patience)
        compare(held, options.threshold)
        command(texts, options.threshold, Path(folder))


def embedded(texts: list[str], file: Path) -> FloatArray:
    """Return the vectors of texts, from a file if it has them."""
    if not file.exists():
        np.save(file, MiniLMEmbedder(precision="int8").encode(texts))
    vectors: FloatArray = np.load(file)
    if len(vectors) != len(texts):
        sys.exit(f"{file} holds {len(vectors)} vectors, not {len(texts)}.")
    return vectors


def times(texts: EmbeddedTexts, threshold: float, rounds: int, patience: float) -> None:
    """Find the pairs, and do the matrix products alone, in turns; print medians, and the ratios of the rounds."""
    processors = Processors(len(os.sched_getaffinity(0)), patience)
    actions: list[Callable[[], object]] = [
        lambda: find_duplicates(texts, threshold),
        lambda: products(texts.vectors),
    ]
    seconds = []
    for number in range(rounds + 1):
        # Each is first in turn; the first round only warms up.
        order = [0, 1] if number % 2 else [1, 0]
        taken = {place: _seconds(actions[place], processors) for place in order}
        seconds += [(taken[0], taken[1])] if number else []
    ratios = sorted(whole / alone for whole, alone in seconds)
    whole, alone = (median(column) for column in zip(*seconds, strict=True))
    others = processors.others_share()
    print(f"{len(texts)} texts, threshold {threshold:g}, blocks of {BLOCK}, median of {rounds} rounds:")
    print(f"  finding the pairs: {whole:.2f} s; matrix products alone: {alone:.2f} s")
    print(f"  ratio: {median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")
    print(f"  this process had at most {resident('VmHWM'):.0f} MB")
    print(f"  taken by other programs: {'unknown' if others is None else f'{others:.1%}'}", flush=True)


def products(vectors: FloatArray) -> None:
    """Do the same float32 products, of the upper triangle, and nothing else."""
    for some in blocks(len(vectors)):
        for others in blocks(len(vectors), start=some.start):
            vectors[some] @ vectors[others].T


def _seconds(action: Callable[[], object], processors: Processors | None = None) -> float:
    if processors is not None:
        processors.wait_until_idle()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def compare(texts: EmbeddedTexts, threshold: float) -> None:
    """Compare the pairs with those of every cosine similarity, in float64; end if they differ."""
    found = {(left, right) for left, right, _ in find_duplicates(texts, threshold)}
    exact = texts.vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    expected: set[tuple[int, int]] = set()
    for some in blocks(len(exact), _REFERENCE_ROWS):
        cosines = np.clip(exact[some] @ exact.T, -1, 1).astype(np.float32)
        left, right = np.nonzero(cosines >= np.float32(threshold))
        later = right > left + some.start
        expected |= set(zip((left[later] + some.start).tolist(), right[later].tolist(), strict=True))
    print(f"  pairs: {len(found)}; in the reference: {len(expected)}; in one only: {len(found ^ expected)}", flush=True)
    if found != expected:
        sys.exit("The pairs are not those of the reference.")


def command(texts: list[str], threshold: float, folder: Path) -> None:
    """Run the command on a file of the texts, and print its time and the most memory it had."""
    file, output = folder / "texts.txt", folder / "pairs.jsonl"
    file.write_text("\n".join(texts), encoding="utf-8")
    arguments = [str(file), "--threshold", str(threshold), "--precision", "int8", "--output", str(output)]
    program = [sys.executable, "-m", "minilm_retrieval", "duplicates", *arguments]
    seconds = _seconds(lambda: subprocess.run(program, check=True, stdout=subprocess.DEVNULL))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    with output.open(encoding="utf-8") as lines:
        count = sum(1 for _ in lines)
    print(f"  minilm duplicates, embedding included: {seconds:.1f} s, at most {peak:.0f} MB, {count} pairs")


if __name__ == "__main__":
    main()

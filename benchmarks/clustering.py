"""Do clusters find known topics, and what do those of 100,000 texts cost?

    python benchmarks/clustering.py topics    # the language reference's passages, whose topics are known
    python benchmarks/clustering.py size      # 100,000 pieces of it: time and memory of each method

`topics` embeds paragraphs of the topics of Python's language reference that have 20 or more of them, with this library
and with sentence-transformers, and compares what is found with the topics: V-measure of each method, and of
scikit-learn's k-means on the vectors of sentence-transformers with the same seeds and settings. `size` embeds pieces of
5 to 10 words in int8, then clusters the vectors with each method in a process of its own. `--texts N` chooses how many,
`--seeds N` how many seeds (5).
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from limits import resident, short_texts
from sklearn.cluster import KMeans
from sklearn.metrics import v_measure_score

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.analysis import Clustering, EmbeddedTexts, cluster_texts

_FEWEST = 20
_SHORTEST = 80
_STARTS = 4
_METHODS: dict[str, dict[str, Any]] = {
    "kmeans": {},
    "kmeans, 40 clusters": {"clusters": 40},
    "hdbscan": {},
    "communities": {},
}


def main() -> None:
    """Run the measurement that the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure clustering.")
    parser.add_argument("what", choices=("topics", "size", "method"))
    parser.add_argument("name", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("folder", nargs="?", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    if options.what == "topics":
        known_topics(options.seeds)
    elif options.what == "size":
        size(options.texts)
    else:
        method(options.name, options.folder)


def known_topics(seeds: int) -> None:
    """Print the V-measure of each method, and the differences from k-means on the reference's vectors."""
    from sentence_transformers import SentenceTransformer

    from minilm_retrieval.model_files import installed_package_directory

    paragraphs = {
        name: [part for part in text.split("\n\n") if len(part) >= _SHORTEST] for name, text in topics.items()
    }
    labelled = [(part, name) for name, parts in paragraphs.items() if len(parts) >= _FEWEST for part in parts]
    texts, names = zip(*labelled, strict=True)
    number = len(set(names))
    print(f"{len(texts)} paragraphs of {number} topics:")
    embedded = _embedded(list(texts), MiniLMEmbedder(on_truncate="ignore").encode(list(texts)))
    model = SentenceTransformer(str(installed_package_directory()), device="cpu")
    reference = model.encode(list(texts))
    print(f"  largest difference of the vectors: {np.abs(reference - embedded.vectors).max():.1e}")
    pairs = []
    for seed in range(seeds):
        ours = cluster_texts(embedded, clusters=number, seed=seed).labels
        theirs = KMeans(number, n_init=_STARTS, random_state=seed).fit(reference).labels_
        pairs.append((v_measure_score(names, ours), v_measure_score(names, theirs)))
        print(f"  k-means, seed {seed}: {pairs[-1][0]:.4f}, of sentence-transformers' vectors {pairs[-1][1]:.4f}")
    print(f"  largest difference: {max(abs(ours - theirs) for ours, theirs in pairs):.4f}")
    for name, options in _METHODS.items():
        found = cluster_texts(embedded, name.partition(",")[0], **options)
        print(f"  {name}: V-measure {v_measure_score(names, found.labels):.3f}; {_told(found)}")


def size(count: int) -> None:
    """Embed pieces of text, and run each method on them in a process of its own."""
    texts = list(itertools.islice(short_texts(0), count))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        np.save(Path(folder, "vectors.npy"), MiniLMEmbedder(precision="int8").encode(texts))
        Path(folder, "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        print(f"{count} texts of 5 to 10 words, embedded in {time.perf_counter() - started:.0f} s:", flush=True)
        for name in _METHODS:
            subprocess.run([sys.executable, __file__, "method", name, folder], check=True)


def method(name: str, folder: Path) -> None:
    """Cluster the texts of a folder, and print the time and this process's memory."""
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    embedded = _embedded(texts, np.load(folder / "vectors.npy"))
    before = resident("VmRSS")
    started = time.perf_counter()
    found = cluster_texts(embedded, name.partition(",")[0], **_METHODS[name])
    seconds = time.perf_counter() - started
    print(f"  {name}: {seconds:.1f} s, {before:.0f} MB before, {resident('VmHWM'):.0f} MB at most; {_told(found)}")


def _embedded(texts: list[str], vectors: Any) -> EmbeddedTexts:
    return EmbeddedTexts([str(row) for row in range(len(texts))], texts, [{} for _ in texts], vectors)


def _told(found: Clustering) -> str:
    share = found.unclustered / len(found.labels)
    return f"{found.description}; {len(found.clusters)} clusters, {share:.0%} of the texts in none"


if __name__ == "__main__":
    main()

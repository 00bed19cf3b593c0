"""Figures that others measured with this model: STS Benchmark and Cranfield."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from soak import needs_soak

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.similarity import cosine_similarity

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


def folder(name: str) -> Path:
    path = DATA / name
    if not path.is_dir():
        pytest.skip(f"the evaluation data ../shared/data/{name}, which is no part of the repository, is absent")
    return path


def test_sts_benchmark(embedder: MiniLMEmbedder) -> None:
    assert sts_spearman(embedder) == pytest.approx(82.03, abs=0.01)


def sts_spearman(embedder: MiniLMEmbedder) -> float:
    """Return Spearman's correlation, times 100, of cosines with human scores over the test set of STS Benchmark."""
    stats = pytest.importorskip("scipy.stats")
    with (folder("stsb") / "test.tsv").open(encoding="utf-8", newline="") as file:
        pairs = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(pairs) == 1379
    left = embedder.encode([pair["sentence1"] for pair in pairs])
    right = embedder.encode([pair["sentence2"] for pair in pairs])
    cosines = [float(cosine_similarity(one, [other])[0]) for one, other in zip(left, right, strict=True)]
    human = [float(pair["score"]) for pair in pairs]
    return float(100 * stats.spearmanr(cosines, human).statistic)


@needs_soak
def test_cranfield(embedder: MiniLMEmbedder) -> None:
    gain, recall = cranfield(embedder)
    assert gain == pytest.approx(0.353, abs=0.002)
    assert recall == pytest.approx(0.775, abs=0.002)


def cranfield(embedder: MiniLMEmbedder) -> tuple[float, float]:
    """Return nDCG@10 and recall@100 of exact search over the Cranfield collection."""
    data = folder("cranfield")
    documents = read_lines(data / "corpus.jsonl")
    queries = read_lines(data / "queries.jsonl")
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    with (data / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            grades[row["query-id"]][row["corpus-id"]] = int(row["score"])
    assert (len(documents), len(queries), sum(map(len, grades.values()))) == (1400, 225, 1612)

    vectors = embedder.encode([f"{document['title']} {document['text']}" for document in documents])
    asked = embedder.encode([query["text"] for query in queries])
    figures, recalls = [], []
    for query, vector in zip(queries, asked, strict=True):
        best = np.argsort(-cosine_similarity(vector, vectors), kind="stable")
        wanted = grades[query["_id"]]
        figures.append(ndcg([wanted.get(documents[row]["_id"], 0) for row in best], list(wanted.values())))
        found = {documents[row]["_id"] for row in best[:100]}
        recalls.append(len(found & wanted.keys()) / len(wanted))
    return float(np.mean(figures)), float(np.mean(recalls))


def ndcg(grades: list[int], ideal: list[int], depth: int = 10) -> float:
    """Normalised discounted cumulative gain: sum of grade / log2(rank + 1), over that of the best order."""
    discounts = 1 / np.log2(np.arange(2, depth + 2))
    gained = np.array(grades[:depth])
    best = np.array(sorted(ideal, reverse=True)[:depth])
    return float(gained @ discounts[: len(gained)] / (best @ discounts[: len(best)]))


def read_lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

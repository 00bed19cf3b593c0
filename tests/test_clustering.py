"""Clusters: known groups are found, the same in every run, and any input gives an answer or a clear error."""

from __future__ import annotations

import sys
import warnings
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
from stores import random_vectors
from subprocesses import run_python

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.analysis import Clustering, EmbeddedTexts, check_clustering, cluster_texts
from minilm_retrieval.analysis.clustering import METHODS
from minilm_retrieval.errors import InvalidOptionError, MissingExtraError

WORDS = ("tea", "rain", "stars", "bread", "horses")
TOPICS = ("async", "formatstrings", "import", "string-methods", "typesmapping")


def embedded(texts: list[str], vectors: Any) -> EmbeddedTexts:
    rows = np.asarray(vectors, dtype=np.float32)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return EmbeddedTexts([f"id-{row}" for row in range(len(texts))], texts, [{} for _ in texts], rows)


def clumps(sizes: tuple[int, ...] = (40, 30, 20, 15, 10), alone: int = 0, spread: float = 0.02) -> EmbeddedTexts:
    """Texts about different things, those about one near each other, in mixed order; some are near no other."""
    centres = random_vectors(len(sizes) + alone)
    about = np.random.default_rng(1).permutation(np.repeat(range(len(sizes) + alone), [*sizes, *[1] * alone]))
    vectors = centres[about] + spread * np.random.default_rng(2).standard_normal((len(about), 384))
    names = [*WORDS[: len(sizes)], *(f"alone{number}" for number in range(alone))]
    return embedded([f"about {names[number]}" for number in about], vectors)


def check(texts: EmbeddedTexts, found: Clustering) -> None:
    """Whatever was found is described truly."""
    assert found.labels.shape == found.similarities.shape == (len(texts),)
    assert [one.number for one in found.clusters] == list(range(len(found.clusters)))
    assert [one.size for one in found.clusters] == [int((found.labels == one.number).sum()) for one in found.clusters]
    assert sum(one.size for one in found.clusters) + found.unclustered == len(texts)
    assert sorted((one.size for one in found.clusters), reverse=True) == [one.size for one in found.clusters]
    assert len({one.name for one in found.clusters}) == len(found.clusters)
    assert (np.isnan(found.similarities) == (found.labels == -1)).all()
    for one in found.clusters:
        rows = np.flatnonzero(found.labels == one.number)
        centre = texts.vectors[rows].mean(axis=0, dtype=np.float64)
        cosines = texts.vectors[rows] @ centre / np.linalg.norm(centre)
        assert found.similarities[rows] == pytest.approx(cosines, abs=1e-6)
        assert found.similarities[one.central] == found.similarities[rows].max()
        assert found.labels[one.central] == one.number
        assert one.cohesion == pytest.approx(cosines.mean(), abs=1e-6)


@pytest.mark.parametrize(("method", "alone"), [("kmeans", 0), ("communities", 4)])
def test_groups_are_found_and_named(method: str, alone: int) -> None:
    texts = clumps(alone=alone)
    found = cluster_texts(texts, method)
    check(texts, found)
    assert [(one.name, one.size) for one in found.clusters] == list(zip(WORDS, (40, 30, 20, 15, 10), strict=True))
    assert all(texts.texts[one.central] == f"about {one.name}" for one in found.clusters)
    assert [text for text, label in zip(texts.texts, found.labels, strict=True) if label == -1] == [
        text for text in texts.texts if "alone" in text
    ]
    assert found.method == method


def test_dense_groups_are_found_and_named() -> None:
    """Some of those alone are taken into the group that they are least far from."""
    texts = clumps(alone=20)
    found = cluster_texts(texts, "hdbscan")
    check(texts, found)
    assert [one.name.partition(",")[0] for one in found.clusters] == list(WORDS)
    assert [texts.texts[one.central] for one in found.clusters] == [f"about {word}" for word in WORDS]
    for number, word in enumerate(WORDS):
        assert {label for text, label in zip(texts.texts, found.labels, strict=True) if word in text} == {number}
    assert found.unclustered >= 10
    assert found.description == "HDBSCAN, at least 5 texts a cluster, over 50 principal components"


@pytest.mark.parametrize(
    ("number", "spread"), [(2, 0.02), (3, 0.1), (5, 0.02), (5, 0.1), (10, 0.04), (20, 0.05), (30, 0.05)]
)
def test_the_number_of_clusters_is_found(number: int, spread: float) -> None:
    vectors = np.repeat(random_vectors(number), 20, axis=0)
    vectors = vectors + spread * np.random.default_rng(0).standard_normal(vectors.shape)
    found = cluster_texts(embedded(["a text"] * len(vectors), vectors))
    assert len(found.clusters) == number
    assert f"k-means, {number} clusters, chosen of 2 to" in found.description


@pytest.mark.parametrize("method", METHODS)
def test_the_same_again(method: str) -> None:
    texts = embedded([f"{row}" for row in range(600)], random_vectors(600, 24))
    options = {"threshold": 0.3} if method == "communities" else {}
    first, second = (cluster_texts(texts, method, **options) for _ in range(2))
    assert (first.labels == second.labels).all()
    assert first.clusters == second.clusters
    check(texts, first)


def test_another_seed_starts_elsewhere() -> None:
    texts = embedded([f"{row}" for row in range(300)], random_vectors(300, 24))
    first, second = (cluster_texts(texts, clusters=10, seed=seed) for seed in (0, 1))
    assert (first.labels != second.labels).any()


def test_the_number_of_threads_changes_nothing() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    texts = embedded(["a text"] * 3000, random_vectors(3000, 24))
    with threadpoolctl.threadpool_limits(1):
        alone = cluster_texts(texts, clusters=12)
    assert (cluster_texts(texts, clusters=12).labels == alone.labels).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 12])
@pytest.mark.parametrize("kind", ["identical", "different", "empty"])
def test_few_texts(method: str, count: int, kind: str) -> None:
    vectors = random_vectors(max(count, 1))[:count]
    if kind == "identical":
        vectors = np.repeat(vectors[:1], count, axis=0)
    texts = EmbeddedTexts(
        [str(row) for row in range(count)], ["" if kind == "empty" else "a text"] * count, [{}] * count, vectors
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cluster_texts(texts, method)
    check(texts, found)
    if method == "kmeans" and kind == "identical" and count:
        assert [one.size for one in found.clusters] == [count]


def test_fewer_different_texts_than_clusters() -> None:
    texts = embedded(["a"] * 5 + ["b"] * 5, np.repeat(random_vectors(2), 5, axis=0))
    found = cluster_texts(texts, clusters=4)
    assert found.description == "k-means, 2 clusters, one for each different text"
    check(texts, found)


def test_sizes_and_thresholds() -> None:
    texts = clumps((10, 6, 3))
    assert [one.size for one in cluster_texts(clumps((40, 30, 20)), "hdbscan").clusters] == [40, 30, 20]
    assert min(one.size for one in cluster_texts(clumps(), "hdbscan", min_size=15).clusters) >= 15
    assert cluster_texts(texts, "hdbscan", min_size=10).clusters == []
    assert [one.size for one in cluster_texts(texts, "communities", min_size=2).clusters] == [10, 6, 3]
    assert [one.size for one in cluster_texts(texts, "communities", min_size=7).clusters] == [10]
    assert cluster_texts(texts, "communities", threshold=0.999).clusters == []


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("dbscan", {}, "kmeans, hdbscan, communities"),
        ("hdbscan", {"clusters": 3}, "goes with kmeans"),
        ("kmeans", {"min_size": 3}, "goes with hdbscan and communities"),
        ("hdbscan", {"threshold": 0.5}, "goes with communities"),
        ("kmeans", {"clusters": 0}, "at least 1, got 0"),
        ("kmeans", {"clusters": 2.5}, "clusters must be a whole number of at least 1, got 2.5"),
        ("kmeans", {"seed": -1}, "from 0 to"),
        ("kmeans", {"seed": 0.5}, "seed must be a whole number from 0 to 4294967295, got 0.5"),
        ("hdbscan", {"min_size": 2.5}, "min_size must be a whole number of at least 2, got 2.5"),
        ("hdbscan", {"min_size": 1}, "at least 2, got 1"),
        ("communities", {"threshold": 1.5}, "between -1 and 1"),
        ("communities", {"threshold": float("nan")}, "between -1 and 1"),
    ],
)
def test_wrong_options(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        check_clustering(method, **options)
    with pytest.raises(InvalidOptionError, match=message):
        cluster_texts(clumps((3, 3)), method, **options)


def test_more_clusters_than_texts() -> None:
    with pytest.raises(InvalidOptionError, match="7 clusters cannot be made of 6 texts"):
        cluster_texts(clumps((3, 3)), clusters=7)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sklearn", "sklearn.cluster", "sklearn.feature_extraction.text"):
        monkeypatch.setitem(sys.modules, name, None)
    for method in METHODS:
        with pytest.raises(MissingExtraError, match=r"minilm-retrieval\[analysis\]"):
            check_clustering(method)
        with pytest.raises(MissingExtraError, match=r"minilm-retrieval\[analysis\]"):
            cluster_texts(clumps(), method)


def test_importing_the_command_loads_no_scikit_learn() -> None:
    loaded = run_python(
        "import sys, minilm_retrieval.cli.main, minilm_retrieval.analysis; print('sklearn' in sys.modules)"
    )
    assert loaded == "False\n"


def test_topics_are_found_as_well_as_on_the_vectors_of_sentence_transformers(
    embedder: MiniLMEmbedder, reference: Any
) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    metrics = pytest.importorskip("sklearn.metrics")
    passages = [
        (" ".join(part.split()[:15]), topic)
        for topic in TOPICS
        for part in [part for part in topics[topic].split("\n\n") if len(part) > 80][:30]
    ]
    texts, names = ([column[row] for column in passages] for row in range(2))
    theirs = reference.encode(texts)
    ours = embedded(texts, embedder.encode(texts))
    for seed in range(3):
        found = cluster_texts(ours, clusters=len(TOPICS), seed=seed)
        labels = cluster.KMeans(len(TOPICS), n_init=4, random_state=seed).fit(theirs).labels_
        measure = metrics.v_measure_score(names, found.labels)
        assert measure == pytest.approx(metrics.v_measure_score(names, labels), abs=0.01)
        assert measure > 0.4

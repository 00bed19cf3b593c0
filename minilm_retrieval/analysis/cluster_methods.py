"""K-means and HDBSCAN with settings that suit texts, through scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import MissingExtraError
from minilm_retrieval.rows import IntArray

# Starts of k-means: the best of several is better, and takes as many times as long.
_STARTS, _MANY_TEXTS = 4, 20_000
_NUMBERS = (*range(2, 11), 12, 15, 20, 25, 30, 40)
_SILHOUETTE_TEXTS = 2000
_SILHOUETTE_TOLERANCE = 0.05
_COMPONENTS = 50


@contextmanager
def _scikit_learn() -> Iterator[None]:
    """Make sure that scikit-learn is there, and have it run in one thread, whatever the number of processors."""
    try:
        # Before the limit is set, which holds for the libraries that are loaded.
        import sklearn.cluster  # noqa: F401
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "analysis") from error
    with threadpool_limits(1):
        yield


def kmeans(vectors: FloatArray, clusters: int | None, seed: int) -> tuple[IntArray, str]:
    """Return labels of shape ``(n,)``, and what was done, for people.

    Args:
        vectors: Shape ``(n, d)``, of unit length.
        clusters: At most n; ``None`` to choose.
        seed: Decides the starts, and what is looked at to choose.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    with _scikit_learn():
        how = ""
        if clusters is None:
            clusters, how = _number_of_clusters(vectors, seed)
        labels = _k_means_labels(vectors, clusters, seed, 1 if len(vectors) > _MANY_TEXTS else _STARTS)
    found = len(np.unique(labels))
    named = "1 cluster" if found == 1 else f"{found:,} clusters"
    return labels, f"k-means, {named}" + (how if found == clusters else ", one for each different text")


def _k_means_labels(vectors: FloatArray, clusters: int, seed: int, starts: int) -> IntArray:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # It warns of fewer different texts than clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(KMeans(clusters, n_init=starts, random_state=seed).fit(vectors).labels_, dtype=np.int64)


def _number_of_clusters(vectors: FloatArray, seed: int) -> tuple[int, str]:
    """Return a number of clusters, and words that say why; 1 for very few texts."""
    from sklearn.metrics import silhouette_score

    rows = np.random.default_rng(seed).permutation(len(vectors))[:_SILHOUETTE_TEXTS]
    sample = vectors[np.sort(rows)]
    scores = {}
    for number in _NUMBERS:
        if number <= len(sample) // 2:
            labels = _k_means_labels(sample, number, seed, _STARTS)
            scores[number] = float(silhouette_score(sample, labels)) if labels.any() else -1.0
    if not scores:
        return 1, ""
    highest = max(scores.values())
    best = max(number for number, score in scores.items() if score >= highest - _SILHOUETTE_TOLERANCE * abs(highest))
    return best, f", chosen of 2 to {max(scores)} by the silhouette ({scores[best]:.3f} over {len(sample):,} texts)"


def hdbscan(vectors: FloatArray, min_size: int) -> tuple[IntArray, str]:
    """Return labels of shape ``(n,)``, -1 for texts in no cluster, and what was done, for people.

    Args:
        vectors: Shape ``(n, d)``, of unit length.
        min_size: Fewest texts of a cluster, at least 2.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    with _scikit_learn():
        from sklearn.cluster import HDBSCAN
        from sklearn.decomposition import PCA

        description = f"HDBSCAN, at least {min_size} texts a cluster"
        if len(vectors) < 2 * min_size:
            return np.full(len(vectors), -1), description
        components = min(_COMPONENTS, *vectors.shape)
        reduced = PCA(components, svd_solver="covariance_eigh").fit_transform(vectors)
        # Without a limit, nearly all texts are one group about as often as not, which says nothing.
        found = HDBSCAN(min_size, min_samples=1, max_cluster_size=len(vectors) // 2, copy=True).fit(reduced)
        if components < vectors.shape[1]:
            description += f", over {components} principal components"
        return np.asarray(found.labels_, dtype=np.int64), description

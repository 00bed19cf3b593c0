"""Groups of texts that say similar things, each with a name from its own texts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from minilm_retrieval.analysis.naming import cluster_names
from minilm_retrieval.analysis.texts import EmbeddedTexts
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError, MissingExtraError
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.rows import IntArray
from minilm_retrieval.similarity import communities

METHODS = ("kmeans", "hdbscan", "communities")
DEFAULT_THRESHOLD = 0.6
UNCLUSTERED = -1
_MIN_SIZE = 5
_HDBSCAN_SHARE = 200
_HDBSCAN_COMPONENTS = 50
# Starts of k-means: the best of several is better, and takes as many times as long.
_STARTS, _MANY_TEXTS = 4, 20_000
_NUMBERS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40)
_SILHOUETTE_TEXTS = 2000
_NAMING_TEXTS = 500
_SEEDS = 2**32


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Attributes:
        number: Its label; 0 is the largest.
        name: A few words that its texts have and others lack; no two clusters have the same.
        size: How many texts it has.
        central: The row of the text nearest to its centre.
        cohesion: Mean cosine similarity of its texts with its centre.
    """

    number: int
    name: str
    size: int
    central: int
    cohesion: float


@dataclass(frozen=True, eq=False)
class Clustering:
    """Which text is in which cluster.

    Attributes:
        method: One of :data:`METHODS`.
        description: What was done, for people: the method, and what was chosen for it.
        labels: Shape ``(n,)``: the number of each text's cluster, -1 for none.
        similarities: Shape ``(n,)``, float32: cosine of each text with its cluster's centre, the mean of the cluster's
            vectors; not-a-number for those in none.
        clusters: The largest first; ``clusters[label]`` is that of a text with this label.
    """

    method: str
    description: str
    labels: IntArray
    similarities: FloatArray
    clusters: list[Cluster]

    @property
    def unclustered(self) -> int:
        """How many texts are in no cluster."""
        return int((self.labels == UNCLUSTERED).sum())


def cluster_texts(
    texts: EmbeddedTexts,
    method: str = "kmeans",
    *,
    clusters: int | None = None,
    min_size: int | None = None,
    threshold: float | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> Clustering:
    """Group texts by their vectors, and name the groups, see :func:`minilm_retrieval.analysis.naming.cluster_names`.

    The same texts in the same order give the same clusters. K-means and HDBSCAN are scikit-learn's, and run in one
    thread, since the last bits of their sums, and with them some labels, would depend on the number of threads.

    Args:
        texts: What to group.
        method: ``"kmeans"`` puts every text into one of so many clusters. ``"hdbscan"`` finds dense groups, however
            many there are, and leaves out what is between them; it runs over the first 50 principal components, without
            which it takes several times as long and finds no more, with ``min_samples=1`` and clusters that are leaves
            of its tree. ``"communities"`` puts texts around a central one, each at least so similar to it.
        clusters: Of kmeans: how many; ``None`` for the one of 2, 3, 4, 5, 6, 8, ... 40 with the highest silhouette
            over 2,000 of the texts, drawn by the seed, and at least two texts a cluster.
        min_size: Of the others: fewest texts of a cluster; ``None`` for 5, in hdbscan a two-hundredth of the texts if
            that is more.
        threshold: Of communities: least cosine similarity of each text with the central one; ``None`` for 0.6.
        seed: Of kmeans.
        show_progress: Show a progress bar on standard error.

    Raises:
        InvalidOptionError: An option is out of range, or goes with another method.
        MissingExtraError: scikit-learn is not installed.

    Source: Campello, Moulavi and Sander, "Density-Based Clustering Based on Hierarchical Density Estimates", PAKDD
    2013; Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis", 1987.
    """
    _check(method, len(texts), clusters, min_size, threshold, seed)
    if not len(texts):
        return Clustering(method, "no texts", np.zeros(0, np.int64), np.zeros(0, np.float32), [])
    total = 2 * len(texts) if method == "communities" else None
    with progress_bar("Clustering", total, show_progress) as advance:
        if method == "kmeans":
            labels, description = _kmeans(texts.vectors, clusters, seed)
        elif method == "hdbscan":
            labels, description = _hdbscan(texts.vectors, min_size or max(_MIN_SIZE, len(texts) // _HDBSCAN_SHARE))
        else:
            at_least = DEFAULT_THRESHOLD if threshold is None else threshold
            labels, description = _communities(texts.vectors, at_least, min_size or _MIN_SIZE, advance)
    return _described(texts, method, description, labels)


def _check(
    method: str, texts: int, clusters: int | None, min_size: int | None, threshold: float | None, seed: int
) -> None:
    if method not in METHODS:
        raise InvalidOptionError(f"method={method!r} is not offered; expected one of {', '.join(METHODS)}.")
    if clusters is not None and method != "kmeans":
        raise InvalidOptionError(f"A number of clusters goes with kmeans; {method} finds out how many there are.")
    if min_size is not None and method == "kmeans":
        raise InvalidOptionError("A smallest size goes with hdbscan and communities, not with kmeans.")
    if threshold is not None and method != "communities":
        raise InvalidOptionError(f"A threshold goes with communities, not with {method}.")
    if clusters is not None and not 1 <= clusters <= texts:
        raise InvalidOptionError(
            f"The number of clusters must be from 1 to that of the texts, {texts}; got {clusters}."
        )
    if min_size is not None and min_size < 2:
        raise InvalidOptionError(f"The smallest size of a cluster must be at least 2, got {min_size}.")
    if not 0 <= seed < _SEEDS:
        raise InvalidOptionError(f"The seed must be from 0 to {_SEEDS - 1}, got {seed}.")


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


def _kmeans(vectors: FloatArray, clusters: int | None, seed: int) -> tuple[IntArray, str]:
    with _scikit_learn():
        how = ""
        if clusters is None:
            clusters, how = _number_of_clusters(vectors, seed)
        labels = _k_means_labels(vectors, clusters, seed, 1 if len(vectors) > _MANY_TEXTS else _STARTS)
    found = len(np.unique(labels))
    return labels, f"k-means, {found} clusters" + (how if found == clusters else ", one for each different text")


def _k_means_labels(vectors: FloatArray, clusters: int, seed: int, starts: int) -> IntArray:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # It warns of fewer different texts than clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(KMeans(clusters, n_init=starts, random_state=seed).fit(vectors).labels_, dtype=np.int64)


def _number_of_clusters(vectors: FloatArray, seed: int) -> tuple[int, str]:
    """Return the number of clusters with the highest silhouette, and words that say so; 1 for very few texts."""
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
    best = max(scores, key=scores.__getitem__)
    return best, f": of 2 to {max(scores)}, the highest silhouette ({scores[best]:.3f} over {len(sample):,} texts)"


def _hdbscan(vectors: FloatArray, min_size: int) -> tuple[IntArray, str]:
    with _scikit_learn():
        from sklearn.cluster import HDBSCAN
        from sklearn.decomposition import PCA

        description = f"HDBSCAN, at least {min_size} texts a cluster"
        if len(vectors) < 2 * min_size:
            return np.full(len(vectors), UNCLUSTERED), description
        components = min(_HDBSCAN_COMPONENTS, *vectors.shape)
        reduced = PCA(components, svd_solver="covariance_eigh").fit_transform(vectors)
        found = HDBSCAN(min_size, min_samples=1, cluster_selection_method="leaf", copy=True).fit(reduced)
        if components < vectors.shape[1]:
            description += f", over {components} principal components"
        return np.asarray(found.labels_, dtype=np.int64), description


def _communities(
    vectors: FloatArray, threshold: float, min_size: int, advance: Callable[[int], None]
) -> tuple[IntArray, str]:
    labels = communities(vectors, threshold, min_size, advance)
    return labels, f"communities of at least {min_size} texts, each at least {threshold:g} similar to the central one"


def _described(texts: EmbeddedTexts, method: str, description: str, found: IntArray) -> Clustering:
    """Number the clusters by falling size, ties by their first text, and describe each."""
    values, first, sizes = np.unique(found, return_index=True, return_counts=True)
    order = [values[place] for place in np.lexsort((first, -sizes)) if values[place] != UNCLUSTERED]
    labels = np.full(len(found), UNCLUSTERED, dtype=np.int64)
    similarities = np.full(len(found), np.nan, dtype=np.float32)
    typical = []
    for number, value in enumerate(order):
        rows = np.flatnonzero(found == value)
        vectors = texts.vectors[rows]
        centre = vectors.mean(axis=0, dtype=np.float64)
        centre /= np.linalg.norm(centre) or 1.0
        labels[rows] = number
        similarities[rows] = np.clip(vectors @ centre.astype(np.float32), -1.0, 1.0)
        typical.append(rows[np.argsort(-similarities[rows], kind="stable")])
    others = np.flatnonzero(labels == UNCLUSTERED)
    names = cluster_names(texts.texts, [rows[:_NAMING_TEXTS] for rows in typical], _spread(others, _NAMING_TEXTS))
    clusters = [
        Cluster(number, name, len(rows), int(rows[0]), float(similarities[rows].mean(dtype=np.float64)))
        for number, (name, rows) in enumerate(zip(names, typical, strict=True))
    ]
    return Clustering(method, description, labels, similarities, clusters)


def _spread(rows: IntArray, most: int) -> IntArray:
    """Return so many of the rows at most, evenly spread."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most, dtype=np.int64)]

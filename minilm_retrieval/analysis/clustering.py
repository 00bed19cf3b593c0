"""Groups of texts that say similar things, each with a name from its own texts."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from minilm_retrieval.analysis.cluster_methods import hdbscan, kmeans
from minilm_retrieval.analysis.naming import cluster_names
from minilm_retrieval.analysis.texts import EmbeddedTexts
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError, MissingExtraError
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.rows import IntArray
from minilm_retrieval.similarity import checked_threshold, communities
from minilm_retrieval.whole_numbers import at_least, whole_number

METHODS = ("kmeans", "hdbscan", "communities")
DEFAULT_THRESHOLD = 0.6
UNCLUSTERED = -1
_MIN_SIZE = 5
_HDBSCAN_SHARE = 200
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
            which it takes several times as long and finds no more, with ``min_samples=1``, and takes groups apart that
            have more than half of the texts. ``"communities"`` puts texts around a central one, each at least so
            similar to it.
        clusters: Of kmeans: how many; ``None`` to choose from 2 to 10, 12, 15, 20, 25, 30 and 40, at most half of the
            texts, by the silhouette over 2,000 texts, drawn by the seed: the largest number within 5% of the highest,
            since more clusters say more, and the silhouettes of texts differ little.
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
    check_clustering(method, clusters=clusters, min_size=min_size, threshold=threshold, seed=seed)
    if clusters is not None and clusters > len(texts):
        raise InvalidOptionError(f"{clusters:,} clusters cannot be made of {len(texts):,} texts.")
    if not len(texts):
        return Clustering(method, "no texts", np.zeros(0, np.int64), np.zeros(0, np.float32), [])
    total = 2 * len(texts) if method == "communities" else None
    with progress_bar("Clustering", total, show_progress) as advance:
        if method == "kmeans":
            labels, description = kmeans(texts.vectors, clusters, seed)
        elif method == "hdbscan":
            size = min_size or max(_MIN_SIZE, len(texts) // _HDBSCAN_SHARE)
            labels, description = hdbscan(texts.vectors, size)
        else:
            size = min_size or _MIN_SIZE
            least = DEFAULT_THRESHOLD if threshold is None else threshold
            labels = communities(texts.vectors, least, size, advance)
            description = f"communities of at least {size} texts, each {least:g} or more similar to a central one"
    return _described(texts, method, description, labels)


def check_clustering(
    method: str,
    *,
    clusters: int | None = None,
    min_size: int | None = None,
    threshold: float | None = None,
    seed: int = 0,
) -> None:
    """Check the options of :func:`cluster_texts` before long work.

    Raises:
        InvalidOptionError: One is out of range, or goes with another method.
        MissingExtraError: scikit-learn is not installed.
    """
    if method not in METHODS:
        raise InvalidOptionError(f"method={method!r} is not offered; expected one of {', '.join(METHODS)}.")
    if clusters is not None and method != "kmeans":
        raise InvalidOptionError(f"A number of clusters goes with kmeans; {method} finds out how many there are.")
    if min_size is not None and method == "kmeans":
        raise InvalidOptionError("A smallest size of clusters goes with hdbscan and communities, not with kmeans.")
    if threshold is not None and method != "communities":
        raise InvalidOptionError(f"A threshold goes with communities, not with {method}.")
    if clusters is not None:
        at_least("clusters", clusters, 1)
    if min_size is not None:
        at_least("min_size", min_size, 2)
    if threshold is not None:
        checked_threshold(threshold)
    if whole_number(seed) is None or not 0 <= seed < _SEEDS:
        raise InvalidOptionError(f"seed must be a whole number from 0 to {_SEEDS - 1}, got {seed!r}.")
    if find_spec("sklearn") is None:
        raise MissingExtraError("scikit-learn", "analysis")


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

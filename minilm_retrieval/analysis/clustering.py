"""Groups of texts that say similar things, each with a name from its own texts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minilm_retrieval.analysis.naming import cluster_names
from minilm_retrieval.analysis.texts import EmbeddedTexts
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError, MissingExtraError
from minilm_retrieval.progress import progress_bar

METHODS = ("kmeans", "hdbscan", "communities")
UNCLUSTERED = -1
DEFAULT_MIN_SIZE = 10
DEFAULT_THRESHOLD = 0.75
_DIMENSIONS = 20

IntArray = npt.NDArray[np.int64]


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
    """Group texts by their vectors, and name the groups.

    Args:
        texts: What to group.
        method: ``"kmeans"``, ``"hdbscan"`` or ``"communities"``.
        clusters: Of kmeans: how many; ``None`` to choose.
        min_size: Of the others: fewest texts of a cluster.
        threshold: Of communities: least cosine similarity of each text with the text that its cluster is around.
        seed: Of kmeans.
        show_progress: Show a progress bar on standard error.

    Raises:
        InvalidOptionError: An option is out of range, or goes with another method.
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "analysis") from error
    if method not in METHODS:
        raise InvalidOptionError(f"method={method!r} is not offered; expected one of {', '.join(METHODS)}.")
    with progress_bar("Clustering", None, show_progress, "texts") as advance:
        if method == "kmeans":
            labels, description = _kmeans(texts.vectors, clusters, seed)
        elif method == "hdbscan":
            labels, description = _hdbscan(texts.vectors, min_size or DEFAULT_MIN_SIZE)
        else:
            labels, description = _communities(
                texts.vectors, threshold or DEFAULT_THRESHOLD, min_size or DEFAULT_MIN_SIZE, advance
            )
    return _clustering(texts, method, description, labels)


def _kmeans(vectors: FloatArray, clusters: int | None, seed: int) -> tuple[IntArray, str]:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    clusters = clusters or max(1, round((len(vectors) / 2) ** 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(clusters, n_init=1, random_state=seed).fit(vectors)
    return found.labels_.astype(np.int64), f"k-means, {clusters} clusters"


def _hdbscan(vectors: FloatArray, min_size: int) -> tuple[IntArray, str]:
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA

    if len(vectors) < max(2, min_size):
        return np.full(len(vectors), UNCLUSTERED), "HDBSCAN"
    dimensions = min(_DIMENSIONS, *vectors.shape)
    reduced = PCA(dimensions, svd_solver="covariance_eigh").fit_transform(vectors)
    labels = HDBSCAN(min_cluster_size=min_size, copy=True).fit(reduced).labels_
    return labels.astype(np.int64), f"HDBSCAN in {dimensions} dimensions"


def _communities(
    vectors: FloatArray, threshold: float, min_size: int, advance: Callable[[int], None]
) -> tuple[IntArray, str]:
    from minilm_retrieval.similarity import communities

    return communities(vectors, threshold, min_size, advance), f"communities of cosine {threshold:g}"


def _clustering(texts: EmbeddedTexts, method: str, description: str, found: IntArray) -> Clustering:
    """Number the clusters by falling size, and describe each."""
    values, first, sizes = np.unique(found, return_index=True, return_counts=True)
    order = [place for place in np.lexsort((first, -sizes)) if values[place] != UNCLUSTERED]
    labels = np.full(len(found), UNCLUSTERED, dtype=np.int64)
    similarities = np.full(len(found), np.nan, dtype=np.float32)
    members = []
    for number, place in enumerate(order):
        rows = np.flatnonzero(found == values[place])
        centre = texts.vectors[rows].mean(axis=0, dtype=np.float64)
        length = np.linalg.norm(centre)
        labels[rows] = number
        similarities[rows] = texts.vectors[rows] @ (centre / length if length else centre)
        members.append(rows)
    names = cluster_names(texts.texts, members)
    clusters = [
        Cluster(
            number,
            names[number],
            len(rows),
            int(rows[similarities[rows].argmax()]),
            float(similarities[rows].mean(dtype=np.float64)),
        )
        for number, rows in enumerate(members)
    ]
    return Clustering(method, description, labels, similarities, clusters)

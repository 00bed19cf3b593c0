"""Vectors of many dimensions, laid out in two."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minilm_retrieval.cpu import thread_budget
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError, MissingExtraError
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.whole_numbers import whole_number

PROJECTIONS = ("auto", "tsne", "pca")
# Fewer points have no neighbourhoods that t-SNE could keep.
_FEWEST_FOR_TSNE = 10
_PERPLEXITY = 30
# Exact search takes 2 s here and grows with the square; the approximate one loses nothing that can be seen.
_MOST_FOR_EXACT_NEIGHBORS = 10_000
_STEPS = (250, 500)
_STEPS_A_REPORT = 10
# Vectors of one text from different batches differ by less than this.
_SAME = 1e-5


def project(
    vectors: FloatArray,
    method: str = "auto",
    *,
    seed: int = 0,
    threads: int | None = None,
    show_progress: bool = False,
) -> tuple[FloatArray, str]:
    """Lay vectors out in two dimensions, so that what is near in many is near in two.

    t-SNE (van der Maaten & Hinton 2008, in the fast form of Linderman et al. 2019) keeps neighbours together and forms
    islands; distances between islands say little. PCA keeps the two directions of largest variance, and is quick.
    The same vectors, seed and threads give the same positions.

    Args:
        vectors: Shape ``(n, d)``, float32, of unit length: Euclidean distance then orders them as the cosine does.
        method: ``"tsne"``, ``"pca"``, or ``"auto"``: t-SNE unless there are too few vectors for it.
        seed: Of what is random in t-SNE.
        threads: How many threads t-SNE uses; ``None`` for as many as this process may.
        show_progress: Show progress bars on standard error.

    Returns:
        Positions of shape ``(n, 2)``, float32, centred on 0, and the method that was used, which is PCA for fewer than
        10 vectors and for vectors that are all the same; these are all at 0.

    Raises:
        InvalidOptionError: There is no such method, or the number of threads or the seed is none.
        MissingExtraError: scikit-learn or openTSNE is not installed.
    """
    check_projection(method, seed)
    jobs = thread_budget(threads).threads
    few = len(vectors) < _FEWEST_FOR_TSNE
    if len(vectors) == 0 or np.ptp(vectors, axis=0).max() < _SAME:
        return np.zeros((len(vectors), 2), dtype=np.float32), "pca"
    if method == "pca" or few:
        return _pca(vectors), "pca"
    return _tsne(vectors, seed, jobs, show_progress), "tsne"


def check_projection(method: str, seed: int) -> None:
    """Check what can be checked before there are vectors.

    Raises:
        InvalidOptionError: There is no such method, or the seed is not one.
        MissingExtraError: scikit-learn or openTSNE is not installed.
    """
    if method not in PROJECTIONS:
        raise InvalidOptionError(f"method={method!r} is not offered; expected one of {', '.join(PROJECTIONS)}.")
    if whole_number(seed) is None or not 0 <= seed < 2**32:
        raise InvalidOptionError(f"seed must be a whole number from 0 to 4,294,967,295, got {seed!r}.")
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "analysis") from error
    if method != "pca":
        try:
            import openTSNE  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("openTSNE", "analysis") from error


def _pca(vectors: npt.NDArray[Any]) -> FloatArray:
    from sklearn.decomposition import PCA

    positions = np.zeros((len(vectors), 2), dtype=np.float32)
    # With fewer rows than columns the covariance is singular, and its eigenvectors can take seconds.
    solver = "full" if len(vectors) <= vectors.shape[1] else "covariance_eigh"
    found = PCA(min(2, *vectors.shape), svd_solver=solver).fit_transform(vectors)
    positions[:, : found.shape[1]] = found
    return positions


def _tsne(vectors: FloatArray, seed: int, jobs: int, show_progress: bool) -> FloatArray:
    from openTSNE import TSNE
    from openTSNE.affinity import PerplexityBasedNN

    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    exact = len(vectors) <= _MOST_FOR_EXACT_NEIGHBORS
    with progress_bar("Finding neighbours", None, show_progress):
        affinities = PerplexityBasedNN(
            vectors, perplexity, method="exact" if exact else "annoy", n_jobs=jobs, random_state=seed
        )
    with progress_bar("Arranging", sum(_STEPS), show_progress, unit="steps") as advance:

        def report(step: int, error: float, positions: Any) -> None:
            advance(_STEPS_A_REPORT)

        found = TSNE(
            early_exaggeration_iter=_STEPS[0],
            n_iter=_STEPS[1],
            initialization="pca",
            n_jobs=jobs,
            random_state=seed,
            callbacks=report,
            callbacks_every_iters=_STEPS_A_REPORT,
        ).fit(vectors, affinities)
    # t-SNE has no up and down: the longest side lies flat, as screens do.
    return _pca(np.asarray(found))

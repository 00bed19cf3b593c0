"""Vectors laid out in two dimensions."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from minilm_retrieval.analysis import project, projection
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError, MissingExtraError

pytest.importorskip("sklearn")
pytest.importorskip("openTSNE")


def clumps(count: int, each: int, seed: int = 0) -> FloatArray:
    """Unit vectors around so many centres, those of a centre one after the other."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((count, 1, 384))
    vectors = (centres + 0.5 * chance.standard_normal((count, each, 384))).reshape(-1, 384)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few steps of t-SNE as clear clumps need."""
    monkeypatch.setattr(projection, "_STEPS", (60, 60))


def neighbours_kept(positions: FloatArray, each: int) -> float:
    """Return the share of points whose nearest other one is of the same clump."""
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float((distances.argmin(axis=1) // each == np.arange(len(positions)) // each).mean())


@pytest.mark.parametrize("most_exact", [10_000, 50], ids=["exact neighbours", "approximate neighbours"])
def test_neighbours_stay_together(short_work: None, monkeypatch: pytest.MonkeyPatch, most_exact: int) -> None:
    monkeypatch.setattr(projection, "_MOST_FOR_EXACT_NEIGHBORS", most_exact)
    vectors = clumps(6, 20)
    positions, method = project(vectors, threads=1)
    assert (positions.shape, positions.dtype, method) == ((120, 2), np.float32, "tsne")
    assert neighbours_kept(positions, 20) >= 0.98
    assert np.abs(positions.mean(axis=0)).max() < 1e-3
    assert positions[:, 0].var() >= positions[:, 1].var(), "the longest side lies flat"


def test_the_same_seed_gives_the_same_positions_with_any_number_of_threads(short_work: None) -> None:
    vectors = clumps(4, 10)
    first, _ = project(vectors, seed=1, threads=1)
    assert (project(vectors, seed=1, threads=1)[0] == first).all()
    assert np.abs(project(vectors, seed=1, threads=2)[0] - first).max() < 1e-3
    assert np.abs(project(vectors, seed=2, threads=1)[0] - first).max() > 1e-3


@pytest.mark.parametrize("each", [30, 300], ids=["fewer than dimensions", "more"])
def test_pca_keeps_the_largest_variance(each: int) -> None:
    vectors = clumps(2, each)
    positions, method = project(vectors, "pca")
    assert method == "pca"
    assert neighbours_kept(positions, each) == 1.0
    assert abs(positions[:each, 0].mean() - positions[each:, 0].mean()) > 5 * positions[:, 1].std()
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    expected = np.linalg.svd(centred, compute_uv=False)[:2] ** 2
    assert (positions.astype(np.float64) ** 2).sum(axis=0) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("method", ["auto", "tsne", "pca"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 10])
def test_few_vectors(short_work: None, count: int, method: str) -> None:
    vectors = clumps(max(count, 1), 1)[:count]
    positions, used = project(vectors, method)
    assert (positions.shape, positions.dtype) == ((count, 2), np.float32)
    assert np.isfinite(positions).all()
    assert used == ("tsne" if count == 10 and method != "pca" else "pca")
    assert len(np.unique(positions, axis=0)) == count


@pytest.mark.parametrize("count", [2, 40])
def test_equal_vectors_are_at_one_place(count: int) -> None:
    vectors = np.repeat(clumps(1, 1), count, axis=0)
    vectors[0] += np.float32(1e-7)
    positions, _ = project(vectors)
    assert not positions.any()


def test_many_equal_vectors_and_one_other(short_work: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "_MOST_FOR_EXACT_NEIGHBORS", 50)
    vectors = np.concatenate([np.repeat(clumps(1, 1), 150, axis=0), clumps(1, 1, seed=1)])
    positions, method = project(vectors, threads=1)
    assert method == "tsne"
    assert np.isfinite(positions).all()


def test_wrong_options() -> None:
    vectors = clumps(2, 3)
    with pytest.raises(InvalidOptionError, match="'umap' is not offered; expected one of auto, tsne, pca"):
        project(vectors, "umap")
    for seed in (-1, 2**32, 0.5):
        with pytest.raises(InvalidOptionError, match=f"seed must be .*, got {seed}"):
            project(vectors, seed=seed)
    with pytest.raises(InvalidOptionError, match="threads"):
        project(vectors, threads=0)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(MissingExtraError, match=r"openTSNE .*minilm-retrieval\[analysis\]"):
        project(clumps(2, 3))
    assert project(clumps(2, 3), "pca")[1] == "pca", "which needs only scikit-learn"
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match="scikit-learn"):
        project(clumps(2, 3), "pca")

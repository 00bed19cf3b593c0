"""The similarities of all texts with all in a file, and as a heat map."""

from __future__ import annotations

import csv
import shutil
import sys
import warnings
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browser, label_at, opened

from minilm_retrieval.analysis import EmbeddedTexts, check_heatmap, save_heatmap, save_matrix
from minilm_retrieval.analysis.heatmap import LARGEST
from minilm_retrieval.errors import DocumentError, InvalidOptionError, MissingExtraError
from minilm_retrieval.similarity import cosine_similarity, similarity_blocks

HOSTILE = ("<script>document.title = 'run'</script>", "</script><b>bold</b> & $x_1$", "\u4f60\u597d", "", "%{z} \ud800")


def texts_of(count: int, texts: list[str] | None = None) -> EmbeddedTexts:
    vectors = np.random.default_rng(0).standard_normal((count, 16)).astype(np.float32)
    words = texts or [f"text number {row}" for row in range(count)]
    return EmbeddedTexts([f"id-{row}" for row in range(count)], words, [{}] * count, vectors)


def matrix_of(texts: EmbeddedTexts) -> np.ndarray:
    return np.array([cosine_similarity(row, texts.vectors) for row in texts.vectors])


@pytest.mark.parametrize("count", [1, 3, 1023, 1025])
def test_blocks_are_the_whole_matrix(count: int) -> None:
    texts = texts_of(count)
    blocks = list(similarity_blocks(texts.vectors))
    assert all(block.dtype == np.float32 and block.shape[1] == count for block in blocks)
    assert (np.concatenate(blocks) == matrix_of(texts)).all()


def test_blocks_of_many_rows_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.similarity._MATRIX_CELLS", 5000)
    texts = texts_of(1100)
    blocks = list(similarity_blocks(texts.vectors))
    assert {len(block) for block in blocks[:-1]} == {4}
    assert (np.concatenate(blocks) == matrix_of(texts)).all()


def test_blocks_of_nothing() -> None:
    assert list(similarity_blocks([])) == []
    with pytest.raises(InvalidOptionError):
        similarity_blocks([1.0])


def test_npy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.similarity._MATRIX_CELLS", 5000)
    texts = texts_of(300)
    save_matrix(texts, tmp_path / "a.npy", show_progress=True)
    found = np.load(tmp_path / "a.npy")
    assert (found.dtype, found.shape) == (np.float32, (300, 300))
    assert (found == matrix_of(texts)).all()


def test_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.similarity._MATRIX_CELLS", 100)
    texts = texts_of(40)
    save_matrix(texts, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as stream:
        heading, *rows = csv.reader(stream)
    assert heading == ["id", *texts.ids]
    assert [row[0] for row in rows] == texts.ids
    assert np.array([row[1:] for row in rows], dtype=float) == pytest.approx(matrix_of(texts), abs=1e-6)
    assert rows[0][1] == "1.000000"


def test_no_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 0, 40_000))
    save_matrix(texts_of(100), tmp_path / "a.npy")
    with pytest.raises(DocumentError, match=r"101 texts .* GB are free"):
        save_matrix(texts_of(101), tmp_path / "b.npy")
    assert not (tmp_path / "b.npy").exists()


@pytest.mark.parametrize("count", [1, 2, 12, 30, 60])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_pictures(tmp_path: Path, count: int, suffix: str) -> None:
    from PIL import Image

    file = tmp_path / f"a.{suffix}"
    words = [*HOSTILE, *(f"text {row}" for row in range(count))][:count]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_heatmap(texts_of(count, words), file, "$a$ <b>")
    if suffix == "png":
        with Image.open(file) as picture:
            assert min(picture.size) > 300
            assert len(picture.convert("RGB").resize((200, 200)).getcolors(40_000)) > 10
    else:
        assert file.read_text().lstrip().startswith("<?xml")


@pytest.fixture(scope="module")
def chromium() -> Any:
    with browser() as running:
        yield running


@pytest.mark.parametrize("count", [6, 50])
def test_a_page_shows_both_texts_under_the_mouse(tmp_path: Path, chromium: Any, count: int) -> None:
    words = [*HOSTILE, *(f"text {row}" for row in range(count))][:count]
    texts = texts_of(count, words)
    save_heatmap(texts, tmp_path / "a.html", "<i>title</i>")
    with opened(chromium, tmp_path / "a.html") as page:
        place = page.page.evaluate("""() => {
            const plot = document.querySelector('.plotly-graph-div'), box = plot.getBoundingClientRect();
            const {xaxis, yaxis} = plot._fullLayout;
            return [box.left + xaxis._offset + xaxis.c2p(0), box.top + yaxis._offset + yaxis.c2p(1)];
        }""")
        score = cosine_similarity(texts.vectors[0], texts.vectors[1:2])[0]
        assert label_at(page, place) == [f"{score:.4f}", f"id-1 {HOSTILE[1]}", f"id-0 {HOSTILE[0]}"]
        assert page.page.title() == "<i>title</i>"
        assert page.complaints == []
        assert page.requests == [(tmp_path / "a.html").as_uri()]


def test_too_many_texts_for_a_picture(tmp_path: Path) -> None:
    check_heatmap(tmp_path / "a.png", LARGEST)
    with pytest.raises(InvalidOptionError, match="at most 1,000 texts, got 1,001"):
        save_heatmap(texts_of(LARGEST + 1), tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.gif", "a"])
def test_another_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidOptionError, match="end in"):
        save_heatmap(texts_of(2), tmp_path / name)
    with pytest.raises(InvalidOptionError, match="end in"):
        save_matrix(texts_of(2), tmp_path / name)


@pytest.mark.parametrize(("package", "name"), [("plotly", "a.html"), ("matplotlib", "a.png")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package} .*\[analysis\]"):
        check_heatmap(tmp_path / name)

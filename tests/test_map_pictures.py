"""Maps of texts, written as pictures and pages."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from mapped import embedded, map_hostile_texts

from minilm_retrieval.analysis import map_texts
from minilm_retrieval.analysis.coloring import COLORS
from minilm_retrieval.errors import DocumentError, InvalidOptionError, MissingExtraError

pytest.importorskip("sklearn")
matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("plotly")

SUFFIXES = (".html", ".png", ".svg", ".pdf")


@pytest.mark.parametrize(("count", "field"), [(1, None), (1, "number"), (2, "kind"), (3, None), (5, "number")])
def test_few_texts_are_drawn(tmp_path: Path, count: int, field: str | None) -> None:
    texts = embedded(["text"] * count, [{"kind": f"_{row % 2}", "number": row / 3} for row in range(count)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = map_texts(texts, color_by=field)
        for suffix in (".html", ".png"):
            drawn.save(tmp_path / f"map{suffix}")
    assert drawn.subtitle.startswith("1 text \u00b7 PCA" if count == 1 else f"{count} texts \u00b7 PCA")


def test_hostile_names_in_pictures(tmp_path: Path) -> None:
    drawn = map_hostile_texts()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for suffix in SUFFIXES:
            drawn.save(tmp_path / f"map{suffix}")
    pixels = matplotlib.image.imread(tmp_path / "map.png")
    assert min(pixels.shape[:2]) >= 900
    for color in COLORS[:5]:
        near = np.abs(pixels[..., :3] - matplotlib.colors.to_rgb(color)).max(axis=2) < 0.02
        assert near.sum() > 20, f"{color} is seen"
    assert (tmp_path / "map.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (tmp_path / "map.svg").read_text(encoding="utf-8")


def test_numbers_in_pictures(tmp_path: Path) -> None:
    texts = embedded(["text"] * 40, [{"year": 1980 + row} if row % 4 else {} for row in range(40)])
    drawn = map_texts(texts, "pca", color_by="year", hover=["year", "year"])
    assert drawn.hover == (), "what colours the points is shown anyway"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for suffix in (".html", ".png"):
            drawn.save(tmp_path / f"map{suffix}")


def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = map_texts(embedded(["a"]))
    with pytest.raises(InvalidOptionError, match=r"must end in \.html .*got '.*map\.gif'"):
        drawn.save(tmp_path / "map.gif")
    with pytest.raises(DocumentError, match="there is no directory"):
        drawn.save(tmp_path / "no" / "map.html")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(DocumentError, match="it is a directory"):
        drawn.save(tmp_path / "taken.png")
    for package, suffix in (("plotly", ".html"), ("matplotlib", ".png")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=package):
            drawn.save(tmp_path / f"map{suffix}")

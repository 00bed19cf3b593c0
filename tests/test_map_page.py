"""Maps of texts in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import OpenedPage, browser, label_at, opened, places
from mapped import HOSTILE, map_hostile_texts

from minilm_retrieval.analysis import EmbeddedTexts, TextMap
from minilm_retrieval.analysis.coloring import one_color
from minilm_retrieval.analysis.labels import shortened

pytest.importorskip("sklearn")
pytest.importorskip("plotly")


@pytest.fixture(scope="module")
def hostile_map() -> TextMap:
    return map_hostile_texts()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def hostile_page(chromium: Any, hostile_map: TextMap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedPage]:
    """One page for several tests, each of which leaves it as it was."""
    file = tmp_path_factory.mktemp("page") / "map.html"
    hostile_map.save(file)
    with opened(chromium, file) as page:
        yield page


def test_a_page_shows_every_text_as_it_is(hostile_page: OpenedPage, hostile_map: TextMap) -> None:
    at = places(hostile_page)
    assert set(at) == set(hostile_map.texts.ids)
    assert hostile_page.page.locator(".scatterlayer .points path.point").count() == len(HOSTILE)
    for id, text, kind in zip(hostile_map.texts.ids, HOSTILE.values(), hostile_map.coloring.labels, strict=True):
        head, *lines, last = label_at(hostile_page, at[id])
        assert (head, last) == (id, f"<i>kind: {shortened(kind)}")
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert len(hostile_page.requests) == 1
    assert hostile_page.requests[0].startswith("file:")
    assert hostile_page.complaints == []
    assert hostile_page.page.evaluate("() => window.ran") is None
    assert hostile_page.page.title() == "<script>window.ran = 1</script> & $x \ufffd"


def test_a_page_has_a_legend_to_click_and_no_way_to_a_cloud(hostile_page: OpenedPage) -> None:
    page = hostile_page.page
    buttons = page.evaluate("() => [...document.querySelectorAll('.modebar-btn')].map((each) => each.dataset.title)")
    assert set(buttons) == {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}
    shown = page.evaluate("() => [...document.querySelectorAll('.legendtext')].map((each) => each.textContent)")
    assert "<u> (1)" in shown
    assert len(shown) == len(HOSTILE)
    page.locator(".legendtoggle").first.click()
    page.wait_for_function(
        "() => document.querySelector('.plotly-graph-div').data.some((t) => t.visible === 'legendonly')"
    )
    assert page.locator(".scatterlayer .points path.point").count() == len(HOSTILE) - 1


def test_a_page_is_dark_where_its_reader_wants_it(hostile_page: OpenedPage) -> None:
    def ink() -> str:
        color: str = hostile_page.page.evaluate("() => getComputedStyle(document.querySelector('.gtitle')).fill")
        return color

    assert ink() == "rgb(36, 41, 47)"
    hostile_page.page.emulate_media(color_scheme="dark")
    hostile_page.page.wait_for_function(
        "() => getComputedStyle(document.querySelector('.gtitle')).fill === 'rgb(230, 232, 235)'"
    )
    background = hostile_page.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(21, 23, 26)"
    hostile_page.page.emulate_media(color_scheme="light")


def test_many_points_are_drawn_by_the_graphics_processor(chromium: Any, tmp_path: Path) -> None:
    count = 4000
    texts = EmbeddedTexts(
        [str(row) for row in range(count)], [f"text {row}" for row in range(count)], [{}] * count, np.zeros((count, 4))
    )
    across = np.arange(count)
    grid = np.column_stack((across % 80, across // 80)).astype(np.float32)
    TextMap(texts, grid, "pca", one_color(count), "Many").save(tmp_path / "map.html")
    assert (tmp_path / "map.html").stat().st_size < 6e6
    with opened(chromium, tmp_path / "map.html") as page:
        if page.page.evaluate("() => !document.createElement('canvas').getContext('webgl')"):
            pytest.skip("this browser has no WebGL")
        at = places(page)
        assert len(at) == count
        for row in (0, 1777, 3999):
            assert label_at(page, at[str(row)]) == [str(row), f"text {row}"]
        assert page.complaints == []
        assert len(page.requests) == 1

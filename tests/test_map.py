"""Maps of texts: colours, pictures, pages in a real browser, and the command."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import OpenedPage, browser, label_at, opened, places
from fake_engine import FakeEngine
from stores import fill, local_client, random_vectors
from typer.testing import CliRunner

from minilm_retrieval.analysis import EmbeddedTexts, TextMap, cluster_texts, map_texts
from minilm_retrieval.analysis.coloring import COLORS, GREY, Coloring, color_by_cluster, color_by_field, one_color
from minilm_retrieval.analysis.labels import shortened, wrapped
from minilm_retrieval.cli.main import app
from minilm_retrieval.errors import DocumentError, InvalidOptionError, MissingExtraError

pytest.importorskip("sklearn")
matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("plotly")

SUFFIXES = (".html", ".png", ".svg", ".pdf")
HOSTILE = {
    "<script>window.ran = 1</script>": "<script>window.ran = 1</script>",
    "</script><script>window.ran = 1</script>": "</script><script>window.ran = 1</script>",
    "<b>bold</b> &lt;i&gt; &amp; &mu; %{x} $x^2$": "<b>bold</b> &lt;i&gt; &amp; &mu; %{x} $x^2$",
    "<img src=x onerror=window.ran=1>": "<img src=x onerror=window.ran=1>",
    "a\x00b\tc\n\n d\u202e": "a b c d",
    "\ud800 x": "\ufffd x",
    "": "",
    "\u6211" * 200: "\u6211" * 200,
    "word " * 400: "word " * 119 + "word\u2026",
}


def embedded(texts: list[str], metadatas: list[dict[str, Any]] | None = None) -> EmbeddedTexts:
    ids = [f"id {number}" for number in range(len(texts))]
    return EmbeddedTexts(ids, texts, list(metadatas or [{}] * len(texts)), random_vectors(len(texts)))


def with_values(values: list[Any]) -> EmbeddedTexts:
    return embedded(["text"] * len(values), [{} if value is ... else {"field": value} for value in values])


def groups(coloring: Coloring) -> list[tuple[str, str, list[int]]]:
    return [(group.name, group.color, group.rows.tolist()) for group in coloring.groups]


def test_the_most_frequent_values_get_colours() -> None:
    coloring = color_by_field(with_values(["b", "a", ..., "b", "", "c", True]), "field")
    assert coloring.title == "field"
    assert groups(coloring) == [
        ("b", COLORS[0], [0, 3]),
        ("a", COLORS[1], [1]),
        ("c", COLORS[2], [5]),
        ("true", COLORS[3], [6]),
        ("no field", GREY, [2, 4]),
    ]
    assert coloring.labels == ["b", "a", "", "b", "", "c", "true"]
    assert coloring.scale is None


def test_values_beyond_the_colours_share_grey() -> None:
    values = [f"value {number:02}" for number in range(len(COLORS) + 5)]
    coloring = color_by_field(with_values([*values, *values[5:]]), "field")
    assert [group.name for group in coloring.groups] == [*values[5:], "5 others"]
    assert coloring.groups[-1].color == GREY
    assert coloring.groups[-1].rows.tolist() == [0, 1, 2, 3, 4]
    assert coloring.labels[:5] == values[:5], "each still says what it is"


def test_many_numbers_get_a_scale() -> None:
    coloring = color_by_field(with_values([*range(100), 1e300, 5.5, float("nan"), ..., None]), "field")
    assert coloring.scale is not None
    assert coloring.scale[:3].tolist() == [0, 1, 2]
    assert np.flatnonzero(np.isnan(coloring.scale)).tolist() == [102, 103, 104]
    assert [(group.name, len(group.rows)) for group in coloring.groups] == [("field", 102), ("no field", 3)]
    low, high = coloring.limits
    assert 0 < low < 2
    assert 97 < high < 1e301


def test_few_numbers_are_classes_in_order() -> None:
    coloring = color_by_field(with_values([10, 9.0, 9, 10, 10, 2.5]), "field")
    assert [(group.name, group.rows.tolist()) for group in coloring.groups] == [
        ("2.5", [5]),
        ("9", [1, 2]),
        ("10", [0, 3, 4]),
    ]


def test_values_of_any_type_are_classes() -> None:
    coloring = color_by_field(with_values([["a", "\u00e9"], {"k": 1}, 3, "3", " x\n y ", 10**400]), "field")
    assert coloring.labels == ['["a", "\u00e9"]', '{"k": 1}', "3", "3", "x y", "1" + "0" * 400]
    assert coloring.groups[0].rows.tolist() == [2, 3]


def test_an_unknown_field_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(InvalidOptionError, match="No text has the metadata field 'topic'; there are: 'field'"):
        map_texts(with_values([1, 2, ...]), color_by="topic")
    with pytest.raises(InvalidOptionError, match="'topic'; there are: none"):
        map_texts(embedded(["a"]), hover=["topic"])


def test_clusters_are_named_and_those_in_none_are_grey() -> None:
    texts = embedded(["cats purr"] * 6 + ["stocks fall"] * 6 + ["alone"])
    texts.vectors[:6] = texts.vectors[0]
    texts.vectors[6:12] = texts.vectors[6]
    clustering = cluster_texts(texts, "communities", threshold=0.9, min_size=3)
    coloring = color_by_cluster(clustering)
    assert coloring.title == "cluster"
    assert [group.rows.tolist() for group in coloring.groups] == [list(range(6)), list(range(6, 12)), [12]]
    names = [cluster.name for cluster in clustering.clusters]
    assert [group.name for group in coloring.groups] == [*names, "in no cluster"]
    with pytest.raises(InvalidOptionError, match="of 13 texts, not of these 1"):
        map_texts(embedded(["a"]), clustering=clustering)
    with pytest.raises(InvalidOptionError, match="either color_by or clustering"):
        map_texts(texts, clustering=clustering, color_by="field")


def test_labels() -> None:
    assert shortened("a" * 50) == "a" * 39 + "\u2026"
    assert wrapped("a" * 100) == ["a" * 64, "a" * 36]
    assert wrapped("\u6211" * 40) == ["\u6211" * 32, "\u6211" * 8]
    assert wrapped("") == []


@pytest.mark.parametrize(("count", "field"), [(1, None), (1, "number"), (2, "kind"), (3, None), (5, "number")])
def test_few_texts_are_drawn(tmp_path: Path, count: int, field: str | None) -> None:
    texts = embedded(["text"] * count, [{"kind": f"_{row % 2}", "number": row / 3} for row in range(count)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = map_texts(texts, color_by=field)
        for suffix in (".html", ".png"):
            drawn.save(tmp_path / f"map{suffix}")
    assert drawn.subtitle.startswith("1 text \u00b7 PCA" if count == 1 else f"{count} texts \u00b7 PCA")


@pytest.fixture(scope="module")
def hostile_map() -> TextMap:
    """Texts, names and values that scripts, fonts, formulas and patterns could stumble over."""
    names = ["<u>", "$x^2$", "\u6211\u5011", "\u0645\u0631", "\udc80", "a\x00b", "_hidden", "\\frac{", "%{x}"]
    texts = embedded(list(HOSTILE), [{"<i>kind": name} for name in names])
    return map_texts(texts, "pca", color_by="<i>kind", title="<script>window.ran = 1</script> & $x \udc80\x00")


def test_hostile_names_in_pictures(hostile_map: TextMap, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for suffix in SUFFIXES:
            hostile_map.save(tmp_path / f"map{suffix}")
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


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["map", *arguments])


@pytest.fixture
def records(tmp_path: Path, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 24 records; the working directory is its own."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "records.jsonl"
    lines = [{"id": f"r{n}", "text": f"text number {n}", "kind": "ab"[n % 2], "size": n * n} for n in range(24)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_the_command_colours_by_clusters(records: Path, tmp_path: Path) -> None:
    result = run(str(records), "--method", "pca", "--hover", "kind", "-o", "map.html", "-o", "map.png")
    assert (result.exit_code, result.stderr) == (0, "")
    first, page, picture = result.stdout.splitlines()
    assert first.startswith("Clusters: k-means, 3 clusters")
    size = (tmp_path / "map.html").stat().st_size / 1e6
    assert page == f"map.html: 24 texts \u00b7 PCA \u00b7 coloured by cluster; {size:.1f} MB."
    assert picture.startswith("map.png: 24 texts")
    content = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "<title>records.jsonl</title>" in content
    assert "text number 23" in content
    assert "kind: b" in content


def test_the_command_without_options_writes_a_page(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visited: list[str] = []
    monkeypatch.setattr("webbrowser.open", visited.append)
    few = tmp_path / "few.txt"
    few.write_text("one\ntwo\n")
    result = run(str(few), "--open")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("map.html: 2 texts \u00b7 PCA; ")
    assert visited == [(tmp_path / "map.html").resolve().as_uri()]


def test_json_has_every_point(records: Path, tmp_path: Path) -> None:
    arguments = (str(records), "--method", "pca", "--json")
    report = json.loads(run(*arguments, "--color-by", "size").stdout)
    assert (report["texts"], report["method"], report["colored_by"], report["files"]) == (24, "pca", "size", [])
    assert len(report["points"]) == 24
    assert report["points"][3].keys() == {"id", "x", "y", "label"}
    assert (report["points"][3]["id"], report["points"][3]["label"]) == ("r3", "9")
    assert not (tmp_path / "map.html").exists()
    report = json.loads(run(*arguments, "--cluster", "none").stdout)
    assert report["colored_by"] is None
    assert {point["label"] for point in report["points"]} == {None}
    report = json.loads(run(*arguments, "-n", "5", "-o", "map.svg").stdout)
    assert len({point["label"] for point in report["points"]}) == 5
    assert report["files"] == ["map.svg"]


def test_a_collection_is_drawn_with_its_stored_vectors(
    tmp_path: Path, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [f"passage {row}" for row in range(6)]
    metadatas = [{"part": row % 3} for row in range(6)]
    fill(local_client(tmp_path / "chroma"), "notes", random_vectors(6, 8), documents=texts, metadatas=metadatas)
    result = run("--collection", "notes", "--color-by", "part", "--where", '{"part": {"$lt": 2}}')
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("map.html: 4 texts \u00b7 PCA \u00b7 coloured by part; ")
    assert "<title>notes</title>" in (tmp_path / "map.html").read_text(encoding="utf-8")
    assert fake_engine.rows == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("-o", "map.gif"), 2, "must end in .html"),
        (("-o", "no/map.html"), 1, "no directory"),
        (("--method", "umap"), 2, "expected one of auto, tsne, pca"),
        (("--seed", "-1"), 2, "seed must be"),
        (("--cluster", "dbscan"), 2, "kmeans, hdbscan, communities"),
        (("--cluster", "kmeans", "--threshold", "0.5"), 2, "goes with communities"),
        (("--color-by", "kind", "--cluster", "kmeans"), 2, "either clusters, or --color-by"),
        (("--color-by", "kind", "-n", "3"), 2, "either clusters, or --color-by"),
        (("--open", "-o", "map.png"), 2, "--open needs"),
        (("--color-by", "topic"), 2, "No text has the metadata field 'topic'; there are: 'kind', 'size'."),
        (("--hover", "topic"), 2, "No text has the metadata field 'topic'"),
    ],
)
def test_mistakes_are_found_before_anything_is_embedded(
    records: Path, fake_engine: FakeEngine, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run(str(records), *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert result.stderr.startswith("minilm: ")
    assert fake_engine.rows == 0


def test_texts_are_needed(records: Path, tmp_path: Path) -> None:
    result = run()
    assert result.exit_code == 2
    assert "either a file of texts or --collection" in result.stderr
    (tmp_path / "empty.txt").touch()
    result = run("empty.txt")
    assert (result.exit_code, result.stderr) == (1, "minilm: empty.txt: holds no text.\n")
    assert not (tmp_path / "map.html").exists()

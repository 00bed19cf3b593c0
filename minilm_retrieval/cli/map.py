"""``minilm map``."""

from __future__ import annotations

import math
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minilm_retrieval.cli import options, texts
from minilm_retrieval.cli.shown import file_size
from minilm_retrieval.errors import InvalidOptionError

if TYPE_CHECKING:
    from minilm_retrieval.analysis import Clustering, TextMap

_DEFAULT_OUTPUT = "map.html"
_NO_CLUSTERS = "none"
_FEWEST_TO_CLUSTER = 20
_MOST_COLORS = 20


def map_(
    *,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to: .html for an interactive page, .png, .svg or .pdf for a picture; may be repeated. "
            f"Default: {_DEFAULT_OUTPUT}, or with --json none.",
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="How to lay out: tsne, pca, or auto: t-SNE unless there are too few texts.")
    ] = "auto",
    color_by: Annotated[str | None, typer.Option(help="Colour by this metadata field, in place of clusters.")] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Colour by cluster: kmeans, hdbscan, communities, or none. Default: kmeans, from 20 texts on."
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters",
            "-n",
            help="Of kmeans: how many. Default: the root of half the texts, at most 20, as many as there are colours.",
        ),
    ] = None,
    min_size: Annotated[int | None, typer.Option(help="Of the other two: fewest texts of a cluster.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Of communities: least cosine similarity in one.")] = None,
    hover: Annotated[
        list[str] | None, typer.Option(help="Metadata field to show with a text under the mouse; may be repeated.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the picture. Default: the file's or collection's name.")] = None,
    seed: Annotated[int, typer.Option(help="Decides what is random in t-SNE and k-means.")] = 0,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    source: texts.TextSource,
    json: options.JsonOutput = False,
) -> None:
    """Draw texts as a map, on which similar ones are near each other: a page that shows each text under the mouse.

    The page needs no network. Colours show clusters, named by their own words, or a metadata field.
    """
    with options.user_errors():
        from minilm_retrieval.analysis import (
            check_clustering,
            check_picture_file,
            check_projection,
            cluster_texts,
            is_page,
            map_texts,
        )

        files = output or ([] if json else [_DEFAULT_OUTPUT])
        page = next((name for name in files if is_page(name)), None)
        if show and page is None:
            raise InvalidOptionError("--open needs an --output that ends in .html.")
        for name in files:
            check_picture_file(name)
        check_projection(method, seed)
        tuning: dict[str, Any] = {"clusters": clusters, "min_size": min_size, "threshold": threshold}
        asked = cluster not in (None, _NO_CLUSTERS) or any(value is not None for value in tuning.values())
        if asked and (color_by is not None or cluster == _NO_CLUSTERS):
            raise InvalidOptionError("Give either clusters, or --color-by or --cluster none.")
        if asked:
            check_clustering(cluster or "kmeans", **tuning, seed=seed)
        loaded = source.load(not json, [*(hover or ()), *([] if color_by is None else [color_by])])
        shown = not json and sys.stderr.isatty()
        clustering = None
        if asked or (color_by is None and cluster is None and len(loaded) >= _FEWEST_TO_CLUSTER):
            cluster = cluster or "kmeans"
            if cluster == "kmeans" and clusters is None:
                tuning["clusters"] = min(max(1, round(math.sqrt(len(loaded) / 2))), _MOST_COLORS)
            clustering = cluster_texts(loaded, cluster, **tuning, seed=seed, show_progress=shown)
        drawn = map_texts(
            loaded,
            method,
            color_by=color_by,
            clustering=clustering,
            hover=hover or (),
            title=title or source.collection or _name(str(source.file)),
            seed=seed,
            threads=source.threads,
            show_progress=shown,
        )
        for name in files:
            drawn.save(name)
        if json:
            options.print_json(_as_json(drawn, files))
        else:
            _print(drawn, files, clustering)
        if show and page is not None:
            webbrowser.open(Path(page).resolve().as_uri())


def _name(file: str) -> str:
    return "standard input" if file == "-" else Path(file).name


def _print(drawn: TextMap, files: list[str], clustering: Clustering | None) -> None:
    if clustering is not None:
        typer.echo(f"Clusters: {clustering.description}.")
    for name in files:
        typer.echo(f"{name}: {drawn.subtitle}; {file_size(name)}.")


def _as_json(drawn: TextMap, files: list[str]) -> dict[str, Any]:
    points = zip(drawn.texts.ids, drawn.positions.tolist(), drawn.coloring.labels, strict=True)
    return {
        "texts": len(drawn.texts),
        "method": drawn.method,
        "colored_by": drawn.coloring.title or None,
        "files": files,
        "points": [{"id": id, "x": x, "y": y, "label": label or None} for id, (x, y), label in points],
    }

"""``minilm cluster``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minilm_retrieval.cli import options, texts
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.output_files import check_output
from minilm_retrieval.store import open_collection

if TYPE_CHECKING:
    from minilm_retrieval.analysis import Clustering, EmbeddedTexts, WriteBackReport

_SHOWN = 40
_FIELDS = ("id", "cluster", "name", "similarity", "text")
_DECIMALS = 6
_LONGEST = 200
_COUNTS = ("cluster", "texts", "share")
_WIDEST_NAME, _NARROWEST_TEXT = 40, 20


def cluster(
    *,
    method: Annotated[
        str,
        typer.Option(
            help="kmeans puts every text into a cluster; hdbscan finds dense groups and leaves out the rest, and so "
            "does communities, of texts around a central one."
        ),
    ] = "kmeans",
    clusters: Annotated[
        int | None,
        typer.Option("--clusters", "-n", help="Of kmeans: how many. Default: from 2 to 40, by the silhouette."),
    ] = None,
    min_size: Annotated[
        int | None,
        typer.Option(
            help="Of hdbscan and communities: fewest texts of a cluster. Default: 5; of hdbscan one in 200 texts, if "
            "that is more."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Of communities: least cosine similarity with the central text. Default: 0.6."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides where kmeans starts.")] = 0,
    limit: Annotated[int, typer.Option(help="Print at most so many clusters.")] = _SHOWN,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Write each text's cluster to this .csv or .jsonl file.")
    ] = None,
    write_back: Annotated[
        bool,
        typer.Option(
            "--write-back",
            help="Write each record's cluster into the collection, as metadata; what an earlier run wrote is replaced.",
        ),
    ] = False,
    field: Annotated[
        str | None,
        typer.Option(help="Metadata field for --write-back; FIELD_name gets the name. Default: cluster."),
    ] = None,
    source: texts.TextSource,
    json: options.JsonOutput = False,
) -> None:
    """Group texts that say similar things, and name each group by the words that set it apart.

    Prints the clusters, the largest first, with the text nearest to the centre of each.
    """
    with options.user_errors():
        from minilm_retrieval.analysis import check_clustering, cluster_texts, write_clusters
        from minilm_retrieval.analysis.tables import TABLES, save_table
        from minilm_retrieval.analysis.write_back import DEFAULT_FIELD, check_field, check_not_taken

        check_clustering(method, clusters=clusters, min_size=min_size, threshold=threshold, seed=seed)
        if limit < 0:
            raise InvalidOptionError(f"--limit must be 0 or more, got {limit}.")
        if write_back and source.collection is None:
            raise InvalidOptionError("--write-back goes with --collection; use --output for the texts of a file.")
        if field is not None and not write_back:
            raise InvalidOptionError("--field goes with --write-back.")
        field = DEFAULT_FIELD if field is None else field
        check_field(field)
        if output is not None:
            check_output(output, TABLES)
        loaded = source.load(not json)
        if write_back:
            check_not_taken(loaded, field)
        shown = not json and sys.stderr.isatty()
        found = cluster_texts(
            loaded, method, clusters=clusters, min_size=min_size, threshold=threshold, seed=seed, show_progress=shown
        )
        if output is not None:
            save_table(output, _FIELDS, _rows(loaded, found))
        written = None
        if write_back:
            opened = open_collection(str(source.collection), **source.store.arguments())
            written = write_clusters(opened, loaded, found, field, show_progress=shown)
        if json:
            options.print_json(_as_json(loaded, found, written))
        else:
            _print(loaded, found, limit)
            if output is not None:
                typer.echo(f"{output}: {len(loaded):,} texts with their clusters.")
            if written is not None:
                typer.echo(_written(str(source.collection), written))


def _rows(loaded: EmbeddedTexts, found: Clustering) -> Iterator[tuple[Any, ...]]:
    labels, similarities = found.labels.tolist(), found.similarities.tolist()
    for id, text, label, similarity in zip(loaded.ids, loaded.texts, labels, similarities, strict=True):
        if label < 0:
            yield id, None, None, None, text
        else:
            yield id, label, found.clusters[label].name, round(similarity, _DECIMALS), text


def _as_json(loaded: EmbeddedTexts, found: Clustering, written: WriteBackReport | None) -> dict[str, Any]:
    return {
        "method": found.method,
        "description": found.description,
        "texts": len(loaded),
        "unclustered": found.unclustered,
        "clusters": [
            {
                "cluster": one.number,
                "name": one.name,
                "size": one.size,
                "share": round(one.size / len(loaded), _DECIMALS),
                "cohesion": round(one.cohesion, _DECIMALS),
                "central": {"id": loaded.ids[one.central], "text": loaded.texts[one.central]},
            }
            for one in found.clusters
        ],
        "assignments": [dict(zip(_FIELDS[:-1], row[:-1], strict=True)) for row in _rows(loaded, found)],
        "written_back": None if written is None else asdict(written),
    }


def _print(loaded: EmbeddedTexts, found: Clustering, limit: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from minilm_retrieval.analysis.naming import excerpt

    shown = found.clusters[:limit]
    if shown:
        console = Console(highlight=False, markup=False)
        names = min(_WIDEST_NAME, max(len(name) for name in ["name", *(one.name for one in shown)]))
        table = Table(box=None, pad_edge=False)
        for heading in _COUNTS:
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("name", overflow="fold", max_width=names)
        # On one line: as much of it as there is place for.
        place = max(_NARROWEST_TEXT, console.width - names - len("  ".join(_COUNTS)) - 6)
        table.add_column("most typical text", no_wrap=True, overflow="ellipsis", max_width=place)
        for one in shown:
            typical = Text(excerpt(loaded.texts[one.central], _LONGEST))
            share = f"{one.size / len(loaded):.1%}"
            table.add_row(str(one.number), f"{one.size:,}", share, Text(one.name, style="bold"), typical)
        console.print(table)
    hidden = len(found.clusters) - len(shown)
    if hidden:
        more = "1 cluster" if hidden == 1 else f"{hidden:,} clusters"
        typer.echo(f"and {more} more; --limit shows more" if shown else more)
    typer.echo(_summary(loaded, found))


def _summary(loaded: EmbeddedTexts, found: Clustering) -> str:
    number = "1 text" if len(loaded) == 1 else f"{len(loaded):,} texts"
    line = f"{number}: {found.description}."
    if found.method == "kmeans":
        return line
    if not found.clusters:
        smaller = "--min-size or --threshold" if found.method == "communities" else "--min-size"
        return f"{line} There is no such cluster; try a lower {smaller}."
    clusters = "1 cluster" if len(found.clusters) == 1 else f"{len(found.clusters):,} clusters"
    return f"{line} {clusters}; {found.unclustered:,} texts ({found.unclustered / len(loaded):.1%}) are in none."


def _written(collection: str, report: WriteBackReport) -> str:
    fields = f"{report.field} and {report.name_field}"
    return (
        f"{collection!r}: {fields} written to {report.written:,} records, removed from {report.cleared:,}; "
        f"{report.unchanged:,} needed no change."
    )

"""``minilm export`` and ``minilm import``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.store import connect, open_collection


def export(
    *,
    file: Annotated[str, typer.Argument(help="Parquet file to write.")],
    collection: options.CollectionName = "docs",
    store: options.Store,
    json: options.JsonOutput = False,
) -> None:
    """Write a collection to a Parquet file, with its vectors."""
    with options.user_errors():
        from minilm_retrieval.maintenance import export_collection

        source = open_collection(collection, **store.arguments())
        count = export_collection(source, file, show_progress=not json and sys.stderr.isatty())
        if json:
            options.print_json({"collection": collection, "file": file, "records": count})
        else:
            typer.echo(f"{file}: {count:,} records of {collection!r}.")


def import_(
    *,
    file: Annotated[str, typer.Argument(help="Parquet file to read, or a folder of them.")],
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Name of the collection. Default: that in the file.")
    ] = None,
    store: options.Store,
    space: Annotated[
        str | None, typer.Option(help="Distance of a new collection, where the file does not say. Default: cosine.")
    ] = None,
    json: options.JsonOutput = False,
) -> None:
    """Read a Parquet file into a collection, with its vectors; makes the collection if there is none.

    What is there already is left as it is, so an interrupted import may be started again.
    """
    with options.user_errors():
        from minilm_retrieval.maintenance import import_collection

        client = partial(connect, **store.arguments(), create=True)
        shown = not json and sys.stderr.isatty()
        report = import_collection(file, client, collection, space=space, show_progress=shown)
        if json:
            options.print_json(asdict(report))
            return
        made = "new collection" if report.created else "collection"
        typer.echo(
            f"{made} {report.collection!r}: {report.written:,} records written, {report.unchanged:,} unchanged, "
            f"in {report.seconds:.1f} s."
        )
        if report.note is not None:
            typer.echo(f"minilm: {report.note}", err=True)

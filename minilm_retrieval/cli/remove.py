"""``minilm remove``."""

from __future__ import annotations

from typing import Annotated

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.ingest import remove_documents, source_name
from minilm_retrieval.store import open_collection


def remove(
    *,
    sources: Annotated[list[str], typer.Argument(help="Files, folders or ids of documents, still there or not.")],
    collection: options.CollectionName = "docs",
    store: options.Store,
    json: options.JsonOutput = False,
) -> None:
    """Remove documents from a collection; the files themselves are left alone."""
    with options.user_errors():
        target = open_collection(collection, **store.arguments())
        report = remove_documents(target, [*sources, *map(source_name, sources)])
        if json:
            options.print_json({"deleted": report.deleted, "passages_deleted": report.passages_deleted})
        else:
            typer.echo(f"{collection!r}: {report.deleted} documents of {report.passages_deleted} passages removed.")

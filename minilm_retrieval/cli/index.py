"""``minilm index``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.ingest import IndexReport, index_documents, load_documents
from minilm_retrieval.store import open_collection


def index(
    paths: Annotated[list[str], typer.Argument(help="Files and folders: .txt .md .markdown .rst .jsonl .csv")],
    collection: options.CollectionName = "docs",
    path: options.ChromaPath = None,
    host: options.Host = None,
    port: options.Port = None,
    ssl: options.Ssl = False,
    header: options.Headers = None,
    text_field: Annotated[str, typer.Option(help="Field that holds the text in JSONL and CSV files.")] = "text",
    passage_tokens: Annotated[
        int | None, typer.Option(help="Most tokens of a passage. Default: all that the model reads.")
    ] = None,
    model: options.Model = None,
    threads: options.Threads = None,
    precision: options.Precision = options.DEFAULT_PRECISION,
    json: options.JsonOutput = False,
) -> None:
    """Split files into passages, embed them and store them in a Chroma collection.

    Run it again to take up changes: what is stored already is not embedded again. The exit code is 1 if a file could
    not be indexed; the others are indexed all the same.
    """
    with options.user_errors():
        embedder = options.make_embedder(model, threads, precision)
        target = open_collection(
            collection, **options.place(path, host, port, ssl, header), create=True, embedder=embedder
        )
        report = index_documents(
            target,
            load_documents(paths, text_field),
            embedder,
            passage_tokens=passage_tokens,
            show_progress=not json and sys.stderr.isatty(),
        )
        if json:
            options.print_json({**asdict(report), "collection": collection, "passages_stored": target.count()})
        else:
            _print_report(report, collection, target.count())
    if report.failed:
        raise typer.Exit(options.FAILURE)


def _print_report(report: IndexReport, collection: str, stored: int) -> None:
    for failure in report.failed:
        typer.echo(f"minilm: not indexed: {failure.source}: {failure.reason}", err=True)
    failed = f", {len(report.failed)} failed" if report.failed else ""
    typer.echo(f"Documents: {report.added} added, {report.updated} updated, {report.unchanged} unchanged{failed}.")
    rate = f" ({report.passages_written / report.seconds:.0f} passages/s)" if report.passages_written else ""
    typer.echo(
        f"Passages: {report.passages_written} written, {report.passages_deleted} removed "
        f"in {report.seconds:.1f} s{rate}; {collection!r} now holds {stored}."
    )

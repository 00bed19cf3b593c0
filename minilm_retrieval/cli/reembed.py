"""``minilm reembed``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.store import connect

if TYPE_CHECKING:
    from minilm_retrieval.maintenance import ReembedReport


def reembed(
    *,
    collection: options.CollectionName = "docs",
    store: options.Store,
    model: options.Model = None,
    threads: options.Threads = None,
    precision: options.RecordedPrecision = None,
    space: Annotated[
        str | None, typer.Option(help="Distance of the new collection: cosine, l2 or ip. Default: as it is.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the old collection, as NAME.before.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Embed even if the vectors are this model's already.")] = False,
    json: options.JsonOutput = False,
) -> None:
    """Embed the texts of a collection again, for another model, precision or distance.

    The collection can be searched as it was until the new one takes its place. Interrupted, it goes on when it is
    started again with the same options.
    """
    with options.user_errors():
        from minilm_retrieval.maintenance import reembed_collection

        report = reembed_collection(
            connect(**store.arguments()),
            collection,
            None if model is None else options.make_embedder(model, threads, precision or options.DEFAULT_PRECISION),
            precision=precision if model is None else None,
            threads=threads if model is None else None,
            space=space,
            keep=keep,
            force=force,
            show_progress=not json and sys.stderr.isatty(),
        )
        if json:
            options.print_json({**asdict(report), "collection": collection})
        else:
            _print(report, collection)


def _print(report: ReembedReport, collection: str) -> None:
    if report.up_to_date:
        typer.echo(
            f"{collection!r}: {report.records:,} records, of this model, precision and space already; "
            "--force embeds them anew."
        )
        return
    rate = f" ({report.embedded / report.seconds:,.0f} texts/s)" if report.embedded else ""
    resumed = f", {report.resumed:,} by an earlier run" if report.resumed else ""
    typer.echo(f"{collection!r}: {report.embedded:,} records embedded{resumed} in {report.seconds:.1f} s{rate}.")
    if report.truncated:
        typer.echo(f"Texts longer than the model reads: {report.truncated:,}; only their beginnings were embedded.")

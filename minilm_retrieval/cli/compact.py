"""``minilm compact``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.store import connect

if TYPE_CHECKING:
    from minilm_retrieval.maintenance import CompactReport

_MEGABYTE = 1_000_000


def compact(
    *,
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", help="Name of a collection; may be repeated. Default: all."),
    ] = None,
    store: options.Store,
    json: options.JsonOutput = False,
) -> None:
    """Rebuild indexes from the stored vectors, and free the space of deleted records.

    Embeds nothing. Also repairs an index that does not find what is stored, and finishes what an interrupted minilm
    reembed has left of its last step.
    """
    with options.user_errors():
        from minilm_retrieval.maintenance import compact_collections

        report = compact_collections(
            connect(**store.arguments()),
            collection or None,
            show_progress=not json and sys.stderr.isatty(),
        )
        if json:
            options.print_json(asdict(report))
        else:
            _print(report)
        if report.failed:
            raise typer.Exit(options.FAILURE)


def _print(report: CompactReport) -> None:
    for name, count in report.collections.items():
        typer.echo(f"{name!r}: index of {count:,} records rebuilt.")
    for name, reason in report.failed.items():
        typer.echo(f"minilm: {name!r} is as it was. {reason}", err=True)
    if report.note is not None:
        typer.echo(f"minilm: {report.note}", err=True)
    if report.bytes_before is not None and report.bytes_after is not None:
        before, after = report.bytes_before / _MEGABYTE, report.bytes_after / _MEGABYTE
        folders = f"; {report.folders_removed} unused index folders removed" if report.folders_removed else ""
        typer.echo(f"Directory: {before:,.1f} MB before, {after:,.1f} MB now{folders}.")

"""``minilm verify``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store import open_collection

if TYPE_CHECKING:
    from minilm_retrieval.maintenance import Fault, VerifyReport


def verify(
    *,
    collection: options.CollectionName = "docs",
    store: options.Store,
    sample: Annotated[
        int | None, typer.Option(help="How many records to embed again and to look for. Default: 500.")
    ] = None,
    all_records: Annotated[bool, typer.Option("--all", help="Embed again and look for all of them.")] = False,
    sources: Annotated[
        bool | None,
        typer.Option("--sources/--no-sources", help="Files must still exist. Default: with --path, yes."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which records are sampled.")] = 0,
    model: options.Model = None,
    threads: options.Threads = None,
    precision: options.RecordedPrecision = None,
    json: options.JsonOutput = False,
) -> None:
    """Find out whether a collection is sound; changes nothing. The exit code is 1 if it is not.

    Looks at every id, place and vector, embeds a sample of the texts again, and asks the index for them.
    """
    with options.user_errors():
        from minilm_retrieval.maintenance import DEFAULT_SAMPLE, verify_collection

        if all_records and sample is not None:
            raise InvalidOptionError("Give either --sample or --all, not both.")
        opened = open_collection(collection, **store.arguments())
        report = verify_collection(
            opened,
            options.embedder_for(opened, model, threads, precision),
            sample="all" if all_records else DEFAULT_SAMPLE if sample is None else sample,
            seed=seed,
            check_sources=sources,
            show_progress=not json and sys.stderr.isatty(),
        )
        if json:
            options.print_json({**asdict(report), "sound": report.sound})
        else:
            _print(report)
    if not report.sound:
        raise typer.Exit(options.FAILURE)


def _print(report: VerifyReport) -> None:
    from minilm_retrieval.maintenance import CHECKS

    for kind, expected in CHECKS.items():
        faults = [fault for fault in report.faults if fault.kind == kind]
        for fault in faults:
            _print_fault(fault)
        if kind in report.skipped:
            typer.echo(f"-      {kind}: {report.skipped[kind]}")
        elif not faults:
            typer.echo(f"ok     {kind}: {expected}{_figure(kind, report)}")
    count = "uncounted" if report.count is None else f"{report.count:,}"
    number = "none" if report.sound else len(report.faults)
    typer.echo(f"{report.collection!r}: {count} records; faults: {number}; in {report.seconds:.1f} s.")


def _figure(kind: str, report: VerifyReport) -> str:
    if kind == "vector" and report.lowest_cosine is not None:
        return f" ({report.compared:,} compared, lowest cosine {report.lowest_cosine:.4f})"
    if kind == "self-hit":
        return f" ({report.self_hit_queries:,} queries)"
    if kind == "recall" and report.recall is not None:
        return f" (recall@{report.k} {report.recall:.3f}, {report.recall_queries} queries)"
    return ""


def _print_fault(fault: Fault) -> None:
    typer.echo(f"FAULT  {fault.kind}: {fault.message}")
    for position, id in enumerate(fault.ids):
        cosine = f"  cosine {fault.cosines[position]:.4f}" if fault.cosines else ""
        typer.echo(f"         {id}{cosine}")
    if fault.total > len(fault.ids) > 0:
        typer.echo(f"         and {fault.total - len(fault.ids):,} more")
    typer.echo(f"       {fault.remedy}")

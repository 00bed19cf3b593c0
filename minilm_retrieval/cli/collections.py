"""``minilm collections``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.cli.shown import printable
from minilm_retrieval.store import connect, open_collection

if TYPE_CHECKING:
    from minilm_retrieval.maintenance import CollectionDescription, CollectionSummary

_SOURCES = 20
_FINGERPRINT = 8


def collections(
    *,
    name: Annotated[str | None, typer.Argument(help="Describe this one; without a name, list all.")] = None,
    store: options.Store,
    model: options.Model = None,
    json: options.JsonOutput = False,
) -> None:
    """List the collections of a store, or describe one: its passages of each source, and how many texts were cut.

    Texts are counted with the tokenizer of --model. The exit code of the list is 1 if a collection cannot be read.
    """
    with options.user_errors():
        # Not at the top: importing the room takes a moment that other commands need not wait.
        from minilm_retrieval.maintenance import describe_collection, list_collections

        place = store.arguments()
        if name is not None:
            opened = open_collection(name, **place)
            embedder = options.embedder_for(opened, model, None, None)
            shown = not json and sys.stderr.isatty()
            description = describe_collection(opened, embedder, show_progress=shown)
            options.print_json(asdict(description)) if json else _print_description(description)
            failed = description.error is not None
        else:
            summaries = list_collections(connect(**place))
            options.print_json([asdict(summary) for summary in summaries]) if json else _print_list(summaries)
            failed = any(summary.error is not None for summary in summaries)
    if failed:
        raise typer.Exit(options.FAILURE)


def _print_list(summaries: list[CollectionSummary]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not summaries:
        typer.echo("There are no collections.", err=True)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("name", overflow="fold")
    for heading in ("records", "dimension"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("space", "function", "precision", "fingerprint"):
        table.add_column(heading, no_wrap=True)
    for summary in summaries:
        fingerprint = (summary.fingerprint or "")[:_FINGERPRINT]
        cells = (summary.dimension, summary.space, summary.function, summary.precision, fingerprint)
        count = "" if summary.count is None else f"{summary.count:,}"
        table.add_row(summary.name, count, *("" if cell is None else str(cell) for cell in cells))
    Console(highlight=False, markup=False).print(table)
    for summary in summaries:
        if summary.error is not None:
            typer.echo(f"minilm: {summary.name}: {summary.error}", err=True)


def _print_description(found: CollectionDescription) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(found).items():
        if value not in (None, ""):
            table.add_row(name, str(value))
    Console(highlight=False, markup=False).print(table)
    for source, count in list(found.sources.items())[:_SOURCES]:
        typer.echo(f"{count:>8,}  {printable(source)}")
    if len(found.sources) > _SOURCES:
        typer.echo(f"          and {len(found.sources) - _SOURCES:,} more sources; --json lists all")
    if found.error is not None:
        typer.echo(f"minilm: {found.error}", err=True)


def _rows(found: CollectionDescription) -> dict[str, Any]:
    texts = f"{found.texts:,}" + (f", and {found.without_text:,} records without one" if found.without_text else "")
    counted = found.mean_tokens is not None
    tokens = f"{found.mean_tokens:.0f} on average, {found.max_tokens:,} at most" if counted else None
    recorded = found.passage_tokens is not None
    return {
        "collection": found.name,
        "records": found.count,
        "dimension": found.dimension,
        "space": found.space,
        "function": found.function,
        "precision": found.precision,
        "fingerprint": found.fingerprint,
        "texts": texts,
        "tokens": "not counted: the vectors are of another model" if found.truncated is None else tokens,
        "truncated": f"{found.truncated:,} texts of more than {found.max_seq_length} tokens" if counted else None,
        "passages of": f"at most {found.passage_tokens} tokens, {found.passage_overlap or 0} shared"
        if recorded
        else None,
        "other records": f"{found.other_records:,}, not indexed by this library" if found.other_records else None,
        "passages": f"{found.passages:,} from {len(found.sources):,} sources",
    }

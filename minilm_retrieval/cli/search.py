"""``minilm search``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.cli.shown import place, printable
from minilm_retrieval.cli.texts import json_filter
from minilm_retrieval.store import DEFAULT_K, Hit, Retriever, open_collection


def search(
    *,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    collection: options.CollectionName = "docs",
    store: options.Store,
    k: Annotated[int, typer.Option("-k", help="How many results.")] = DEFAULT_K,
    min_score: Annotated[float | None, typer.Option(help="Leave out results below this cosine similarity.")] = None,
    where: Annotated[str | None, typer.Option(help="Metadata filter of Chroma, as JSON.")] = None,
    where_document: Annotated[str | None, typer.Option(help="Document filter of Chroma, as JSON.")] = None,
    exact: Annotated[
        bool | None,
        typer.Option("--exact/--approximate", help="Compare every vector, or ask the index. Default: auto."),
    ] = None,
    model: options.Model = None,
    threads: options.Threads = None,
    precision: options.RecordedPrecision = None,
    json: options.JsonOutput = False,
) -> None:
    """Find the passages nearest to a query, best first, with their cosine similarity."""
    with options.user_errors():
        source = open_collection(collection, **store.arguments())
        retriever = Retriever(source, options.embedder_for(source, model, threads, precision))
        hits = retriever.search(
            query,
            k=k,
            where=json_filter(where, "--where"),
            where_document=json_filter(where_document, "--where-document"),
            min_score=min_score,
            exact="auto" if exact is None else exact,
        )
        if json:
            options.print_json([asdict(hit) for hit in hits])
        elif not hits:
            typer.echo("Nothing found.", err=True)
        else:
            _print_hits(hits)


def _print_hits(hits: list[Hit]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for rank, hit in enumerate(hits, 1):
        console.print(
            Text(f"{rank:>2}  {hit.score:.3f}  ", style="bold").append(place(hit.id, hit.metadata), style="cyan"),
            soft_wrap=True,
        )
        for line in (hit.document or "").strip().splitlines():
            console.print(Text(f"    {printable(line)}"))
        console.print()

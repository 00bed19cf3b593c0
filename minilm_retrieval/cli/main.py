"""The commands, put together."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from minilm_retrieval import __version__
from minilm_retrieval.cli.bench import bench
from minilm_retrieval.cli.cluster import cluster
from minilm_retrieval.cli.collections import collections
from minilm_retrieval.cli.command import Command
from minilm_retrieval.cli.compact import compact
from minilm_retrieval.cli.doctor import doctor
from minilm_retrieval.cli.duplicates import duplicates
from minilm_retrieval.cli.embed import embed
from minilm_retrieval.cli.eval import eval_app
from minilm_retrieval.cli.groups import ungrouped
from minilm_retrieval.cli.index import index
from minilm_retrieval.cli.map import map_
from minilm_retrieval.cli.options import FAILURE
from minilm_retrieval.cli.reembed import reembed
from minilm_retrieval.cli.remove import remove
from minilm_retrieval.cli.scaleout import IndexCommand
from minilm_retrieval.cli.search import search
from minilm_retrieval.cli.serve import serve
from minilm_retrieval.cli.similarity import similarity
from minilm_retrieval.cli.streams import OutputError, flush_output, prepare_output
from minilm_retrieval.cli.transfer import export, import_
from minilm_retrieval.cli.verify import verify

app = typer.Typer(
    name="minilm",
    help="Embeddings and retrieval for all-MiniLM-L6-v2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_COMMANDS = (
    *(index, search, serve, remove, collections, verify, reembed, compact, export, import_),
    *(embed, similarity, cluster, duplicates, map_, bench, doctor),
)
for command in _COMMANDS:
    app.command(name=command.__name__.rstrip("_"), cls=IndexCommand if command is index else Command)(
        ungrouped(command)
    )
app.add_typer(eval_app, name="eval")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"minilm-retrieval {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Embeddings and retrieval for all-MiniLM-L6-v2."""


def run() -> None:
    """Run the command line."""
    prepare_output()
    try:
        try:
            app()
        finally:
            flush_output()
    except OutputError as error:
        typer.echo(f"minilm: {error}", err=True)
        sys.exit(FAILURE)
    except BrokenPipeError:
        sys.exit(FAILURE)

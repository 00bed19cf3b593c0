"""``minilm embed``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.cli.shown import printable
from minilm_retrieval.cli.streams import as_json
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.output_files import check_output, write_array
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.whole_files import whole_file

_SHOWN = 6
_SUFFIX = ".npy"


def embed(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, lines of standard input, in UTF-8.")
    ] = None,
    input_file: Annotated[
        str | None, typer.Option("--input", "-i", help="File with one text a line, in UTF-8.")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Write all vectors to this .npy file.")] = None,
    model: options.Model = None,
    threads: options.Threads = None,
    precision: options.Precision = options.DEFAULT_PRECISION,
    json: options.JsonOutput = False,
) -> None:
    """Embed texts. With --json, one line of JSON a text: the text and its vector; with --output, what was written."""
    with options.user_errors():
        if texts and input_file:
            raise InvalidOptionError("Give either texts or --input, not both.")
        if output is not None:
            check_output(output, (_SUFFIX,))
        embedder = options.make_embedder(model, threads, precision)
        kept: list[FloatArray] = []
        # Vectors that are printed at a terminal are progress enough.
        watched = sys.stderr.isatty() and (output is not None or not sys.stdout.isatty())
        total = len(texts) if texts else _count(input_file) if watched else None
        with progress_bar("Embedding", total, watched) as advance:
            for chunk, vectors in embedder.encode_stream(texts or _lines(input_file)):
                if output is not None:
                    kept.append(vectors)
                else:
                    _print(chunk, vectors, json)
                advance(len(chunk))
        if output is not None:
            _save(output, kept, embedder.dimension, json)


def _lines(file: str | None) -> Iterator[str]:
    if file is None and (sys.stdin is None or sys.stdin.isatty()):
        raise InvalidOptionError("Give texts, --input FILE, or lines on standard input.")
    name = "standard input" if file is None else file
    try:
        with sys.stdin.buffer if file is None else Path(file).open("rb") as stream:
            for line in TextIOWrapper(stream, encoding="utf-8-sig"):
                # UTF-8 has zero bytes too, but text in it has none: this is UTF-16, or no text.
                if "\0" in line:
                    raise DocumentError(f"{name} cannot be read: expected UTF-8 text, got zero bytes")
                yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise DocumentError(f"{name} cannot be read: expected UTF-8 text: {error}") from error
    except OSError as error:
        raise DocumentError(f"{name} cannot be read: {error}") from error


def _count(file: str | None) -> int | None:
    """Count the lines of a file; ``None`` for what can be read only once."""
    if file is None or not Path(file).is_file():
        return None
    return sum(1 for _ in _lines(file))


def _print(texts: list[str], vectors: FloatArray, json: bool) -> None:
    for text, vector in zip(texts, vectors, strict=True):
        if json:
            typer.echo(as_json({"text": text, "embedding": vector.tolist()}))
        else:
            numbers = " ".join(f"{number:+.4f}" for number in vector[:_SHOWN])
            typer.echo(f"{printable(text[:60])}\n  {numbers} ... ({len(vector)} numbers)")


def _save(output: str, parts: list[FloatArray], dimension: int, json: bool) -> None:
    count = sum(map(len, parts))
    try:
        with whole_file(output) as unfinished, unfinished.open("wb") as stream:
            write_array(stream, (count, dimension), parts)
    except OSError as error:
        raise DocumentError(f"{output} cannot be written: {error.strerror or error}") from error
    if json:
        options.print_json({"texts": count, "dimension": dimension, "files": [output]})
    else:
        typer.echo(f"{output}: {count} vectors of {dimension} float32 numbers.", err=True)

"""Options of the commands that take texts from a file or from a collection."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store import open_collection

if TYPE_CHECKING:
    from minilm_retrieval.analysis import EmbeddedTexts


_Precision = Annotated[str | None, typer.Option(help=f"{options.PRECISIONS} Of a file's texts. Default: float32.")]


@dataclass(frozen=True)
class TextSource:
    """Where a command's texts come from: a file, and what embeds them; or a collection, with its vectors."""

    file: Annotated[
        str | None,
        typer.Argument(help="Texts: one a line; of JSONL and CSV one a record; - for standard input. Or --collection."),
    ] = None
    collection: Annotated[
        str | None,
        typer.Option("--collection", "-c", help="Take the texts and vectors of this collection, not of a file."),
    ] = None
    text_field: Annotated[str, typer.Option(help="Name of the text's field in JSONL and CSV.")] = "text"
    encoding: Annotated[str | None, typer.Option(help="Encoding of the file. Default: found out.")] = None
    where: Annotated[
        str | None, typer.Option(help="Of the collection, take what passes this metadata filter, as JSON.")
    ] = None
    store: options.Store = options.Store()
    model: options.Model = None
    threads: options.Threads = None
    precision: Annotated[
        str | None, typer.Option(help=f"{options.PRECISIONS} Of a file's texts. Default: float32.")
    ] = None

    def embedder(self) -> MiniLMEmbedder:
        """Return what embeds texts that are in no collection."""
        return options.make_embedder(self.model, self.threads, self.precision or options.DEFAULT_PRECISION)

    def load(self, shown: bool, fields: Sequence[str] = ()) -> EmbeddedTexts:
        """Return the texts with their vectors.

        Args:
            shown: Show progress, if standard error is a terminal.
            fields: Of the metadata of a file's texts, at least one of which must have each, or nothing is embedded.

        Raises:
            InvalidOptionError: Neither or both of file and collection are given, or options of the other one.
            MiniLMError: As the two functions of :mod:`minilm_retrieval.analysis.texts`.
        """
        from minilm_retrieval.analysis import texts_of_collection, texts_of_file

        shown = shown and sys.stderr.isatty()
        if (self.file is None) == (self.collection is None):
            raise InvalidOptionError("Give either a file of texts or --collection.")
        if self.file is not None:
            if self.where is not None or self.store:
                raise InvalidOptionError("--where, --path, --host, --port, --ssl and --header go with --collection.")
            return texts_of_file(
                self.file,
                self.embedder(),
                text_field=self.text_field,
                encoding=self.encoding,
                fields=fields,
                show_progress=shown,
            )
        if self.model is not None or self.precision is not None:
            raise InvalidOptionError("--model and --precision go with a file: a collection has its vectors.")
        opened = open_collection(str(self.collection), **self.store.arguments())
        return texts_of_collection(opened, where=json_filter(self.where, "--where"), show_progress=shown)


def json_filter(text: str | None, name: str) -> dict[str, Any] | None:
    """Return the filter that an option gives as JSON.

    Raises:
        InvalidOptionError: It is not a JSON object.
    """
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidOptionError(f'{name} must be JSON, such as \'{{"topic": "try"}}\': {error}') from error
    if not isinstance(value, dict):
        raise InvalidOptionError(f"{name} must be a JSON object, got {text!r}.")
    return value

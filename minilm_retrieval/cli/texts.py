"""Options of the commands that take texts from a file or from a collection."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store import open_collection

if TYPE_CHECKING:
    from minilm_retrieval.analysis import EmbeddedTexts

TextFile = Annotated[
    str | None,
    typer.Argument(help="Texts: one a line; of JSONL and CSV one a record; - for standard input. Or --collection."),
]
CollectionName = Annotated[
    str | None, typer.Option("--collection", "-c", help="Take the texts and vectors of this collection, not of a file.")
]
TextField = Annotated[str, typer.Option(help="Name of the text's field in JSONL and CSV.")]
Encoding = Annotated[str | None, typer.Option(help="Encoding of the file. Default: found out.")]
Precision = Annotated[str | None, typer.Option(help=f"{options.PRECISIONS} Of a file's texts. Default: float32.")]
Where = Annotated[str | None, typer.Option(help="Of the collection, take what passes this metadata filter, as JSON.")]


@dataclass(frozen=True)
class TextSource:
    """Where a command's texts come from, as its options say.

    Attributes:
        file: Or else
        collection: a collection's name, with
        place: what :func:`minilm_retrieval.cli.options.place` takes, and
        where: a filter.
        text_field: Of the file's records.
        encoding: Of the file.
        model: For texts of a file, as are
        threads: and
        precision.
    """

    file: str | None
    collection: str | None
    place: tuple[str | None, str | None, int | None, bool, list[str] | None]
    where: str | None
    text_field: str
    encoding: str | None
    model: str | None
    threads: int | None
    precision: str | None

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
            if self.where is not None or any(self.place):
                raise InvalidOptionError("--where, --path, --host, --port, --ssl and --header go with --collection.")
            embedder = options.make_embedder(self.model, self.threads, self.precision or options.DEFAULT_PRECISION)
            return texts_of_file(
                self.file,
                embedder,
                text_field=self.text_field,
                encoding=self.encoding,
                fields=fields,
                show_progress=shown,
            )
        if any(option is not None for option in (self.model, self.threads, self.precision)):
            raise InvalidOptionError("--model, --threads and --precision go with a file: a collection has its vectors.")
        opened = open_collection(str(self.collection), **options.place(*self.place))
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

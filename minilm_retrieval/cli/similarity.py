"""``minilm similarity``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minilm_retrieval.cli import options, texts
from minilm_retrieval.cli.shown import file_size, place, print_texts
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.ingest import Document
from minilm_retrieval.similarity import cosine_similarity, similarity_blocks, top_k

if TYPE_CHECKING:
    from minilm_retrieval.analysis import EmbeddedTexts
    from minilm_retrieval.embedder import MiniLMEmbedder

_DEFAULT_K = 10
_DECIMALS = 6
_MOST_PRINTED = 20
_MOST_AS_JSON = 1000
_WIDEST_TEXT = 40
_WIDEST_NAME = 8


@dataclass(frozen=True)
class ComparedTexts(texts.TextSource):
    """As other commands' texts; but the arguments are texts here, so that a file is an option."""

    file: Annotated[
        str | None,
        typer.Option("--file", "-f", help="Texts: one a line; of JSONL and CSV one a record; - for standard input."),
    ] = None


def similarity(
    *,
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="Two texts; or one, and those to compare it with, as further arguments or in --file; or none, to "
            "compare all texts of --file with each other.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Of texts compared with one, print so many, the nearest.")] = _DEFAULT_K,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="Compare all with each other; write the numbers to this .csv or .npy file."
        ),
    ] = None,
    heatmap: Annotated[
        str | None,
        typer.Option(help="Compare all with each other; draw it: a page (.html) or a picture (.png, .svg, .pdf)."),
    ] = None,
    source: ComparedTexts,
    json: options.JsonOutput = False,
) -> None:
    """Say how similar texts are: the cosine of their vectors, 1 for the same meaning, about 0 for unrelated ones.

    Of two texts it is one number; of one and many, the nearest ones; of a file or collection alone, all with all.
    """
    with options.user_errors():
        given = given or []
        if k < 1:
            raise InvalidOptionError(f"-k must be at least 1, got {k}.")
        _check(given, source.file, source.collection, output, heatmap)
        if source.file is None and source.collection is None:
            loaded = _arguments(given, source.embedder())
        else:
            loaded = source.load(not json)
        if output or heatmap or not given:
            _compare_all(loaded, output, heatmap, source.collection or source.file, json)
        elif source.file is not None:
            _print_nearest(source.embedder().encode(given[0]), loaded, k, json)
        elif len(given) > 2:
            _print_nearest(loaded.vectors[0], _others(loaded), k, json)
        else:
            _print_number(float(cosine_similarity(loaded.vectors[0], loaded.vectors[1:])[0]), json)


def _check(given: list[str], file: str | None, collection: str | None, output: str | None, heatmap: str | None) -> None:
    """Refuse what does not go together, or cannot be written, before anything is read or embedded."""
    from minilm_retrieval.analysis import check_heatmap, check_matrix

    if file is None and collection is None and len(given) < 2:
        raise InvalidOptionError("Give two texts or more; or one text and --file; or --file or --collection alone.")
    if given and collection is not None:
        raise InvalidOptionError("To find what is nearest to a text in a collection, use: minilm search")
    if given and file is not None:
        if len(given) > 1:
            raise InvalidOptionError("With --file give one text, to compare those of the file with, or none.")
        if output or heatmap:
            raise InvalidOptionError(
                "--output and --heatmap compare the texts of --file with each other: give no other."
            )
    if output is not None:
        check_matrix(output)
    if heatmap is not None:
        check_heatmap(heatmap)


def _arguments(given: list[str], embedder: MiniLMEmbedder) -> EmbeddedTexts:
    from minilm_retrieval.analysis import embed_documents

    return embed_documents([Document(str(number), text) for number, text in enumerate(given, 1)], embedder)


def _others(loaded: EmbeddedTexts) -> EmbeddedTexts:
    """Return all but the first; their numbers say nothing to somebody who sees the texts on the same line."""
    from minilm_retrieval.analysis import EmbeddedTexts

    return EmbeddedTexts([""] * (len(loaded) - 1), loaded.texts[1:], loaded.metadatas[1:], loaded.vectors[1:])


def _print_number(score: float, json: bool) -> None:
    if json:
        options.print_json({"score": round(score, _DECIMALS)})
    else:
        typer.echo(f"{score:.4f}")


def _print_nearest(asked: FloatArray, loaded: EmbeddedTexts, k: int, json: bool) -> None:
    positions, scores = top_k(asked[None], loaded.vectors, k)
    found = list(zip(positions[0].tolist(), scores[0].tolist(), strict=True))
    if json:
        records = [
            (score, {"id": loaded.ids[row]} if loaded.ids[row] else {}, loaded.texts[row]) for row, score in found
        ]
        options.print_json([{"score": round(score, _DECIMALS), **id, "text": text} for score, id, text in records])
    else:
        places = [place(loaded.ids[row], loaded.metadatas[row]) for row, _ in found]
        print_texts(
            [(f"{score:.4f}", where, loaded.texts[row]) for (row, score), where in zip(found, places, strict=True)]
        )


def _compare_all(
    loaded: EmbeddedTexts, output: str | None, heatmap: str | None, source: str | None, json: bool
) -> None:
    from minilm_retrieval.analysis import check_heatmap, save_heatmap, save_matrix

    if heatmap is not None:
        check_heatmap(heatmap, len(loaded))
        save_heatmap(loaded, heatmap, "Similarity" if source in (None, "-") else Path(source).name)
    if output is not None:
        save_matrix(loaded, output, show_progress=not json and sys.stderr.isatty())
    files = [name for name in (heatmap, output) if name is not None]
    if json and files:
        options.print_json({"texts": len(loaded), "files": files})
    elif json:
        _check_size(loaded, _MOST_AS_JSON)
        options.print_json({"ids": loaded.ids, "texts": loaded.texts, "similarities": _matrix(loaded)})
    elif files:
        for name in files:
            typer.echo(f"{name}: {len(loaded):,} texts compared with each other; {file_size(name)}.")
    else:
        _check_size(loaded, _MOST_PRINTED)
        _print_matrix(loaded)


def _check_size(loaded: EmbeddedTexts, most: int) -> None:
    if len(loaded) > most:
        raise InvalidOptionError(
            f"{len(loaded):,} texts compared with each other are too many numbers to print ({most:,} texts at most). "
            "Write them to a file with --output, draw them with --heatmap, or give one text to compare with."
        )


def _matrix(loaded: EmbeddedTexts) -> list[list[float]]:
    return [
        [round(score, _DECIMALS) for score in row]
        for block in similarity_blocks(loaded.vectors)
        for row in block.tolist()
    ]


def _print_matrix(loaded: EmbeddedTexts) -> None:
    from rich.cells import set_cell_size

    from minilm_retrieval.analysis.labels import shortened

    names = [place(id, metadata) for id, metadata in zip(loaded.ids, loaded.metadatas, strict=True)]
    # Long names would leave no room for the numbers.
    if max(map(len, names)) > _WIDEST_NAME:
        names = [str(number) for number, _ in enumerate(names, 1)]
    width = max(map(len, names))
    labels = [set_cell_size(shortened(text, _WIDEST_TEXT), _WIDEST_TEXT) for text in loaded.texts]
    typer.echo(" " * (width + 2 + _WIDEST_TEXT) + "".join(name.rjust(max(width, 5) + 1) for name in names))
    for name, label, row in zip(names, labels, _matrix(loaded), strict=True):
        typer.echo(f"{name.rjust(width)}  {label}" + "".join(f"{score:.2f}".rjust(max(width, 5) + 1) for score in row))

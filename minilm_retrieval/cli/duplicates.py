"""``minilm duplicates``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minilm_retrieval.analysis.duplicates import DEFAULT_THRESHOLD
from minilm_retrieval.cli import options, texts
from minilm_retrieval.cli.shown import place, print_texts
from minilm_retrieval.cli.streams import as_json
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.output_files import check_output
from minilm_retrieval.similarity import checked_threshold

if TYPE_CHECKING:
    from minilm_retrieval.analysis import DuplicatePair, Duplicates, EmbeddedTexts

_SHOWN = 20
_FIELDS = ("score", "left_id", "right_id", "left_text", "right_text")
_DECIMALS = 6


def duplicates(
    *,
    threshold: Annotated[
        float,
        typer.Option(
            help="Least cosine similarity of a pair. At 0.95 texts differ in case, signs or a small word, now and then "
            "in a number or a name; at 0.85 many say the same in other words."
        ),
    ] = DEFAULT_THRESHOLD,
    limit: Annotated[
        int | None,
        typer.Option(help=f"Print at most so many pairs. Default: {_SHOWN}, or with --json all.", show_default=False),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Write all pairs to this .csv or .jsonl file.")
    ] = None,
    source: texts.TextSource,
    json: options.JsonOutput = False,
) -> None:
    """Find texts that are nearly the same: every pair with at least a cosine similarity, best first.

    Each text is compared with every other, so no pair is missed. Nothing is changed.
    """
    with options.user_errors():
        from minilm_retrieval.analysis import find_duplicates
        from minilm_retrieval.analysis.tables import TABLES, save_table

        if limit is not None and limit < 0:
            raise InvalidOptionError(f"--limit must be 0 or more, got {limit}.")
        checked_threshold(threshold)
        if output is not None:
            check_output(output, TABLES)
        loaded = source.load(not json)
        found = find_duplicates(loaded, threshold, show_progress=not json and sys.stderr.isatty())
        if output is not None:
            save_table(output, _FIELDS, _rows(loaded, found))
        if json:
            _print_json(_rows(loaded, found.best(len(found) if limit is None else limit)))
        else:
            shown = _SHOWN if limit is None else limit
            _print(loaded, found.best(shown))
            typer.echo(_summary(found, len(loaded), threshold, shown, output))


def _rows(loaded: EmbeddedTexts, pairs: Iterable[DuplicatePair]) -> Iterator[tuple[Any, ...]]:
    for left, right, score in pairs:
        ids, found = loaded.ids, loaded.texts
        yield round(score, _DECIMALS), ids[left], ids[right], found[left], found[right]


def _print_json(rows: Iterable[tuple[Any, ...]]) -> None:
    """Print a list, one pair after the other, since there may be millions of them."""
    opening = "[\n"
    for row in rows:
        typer.echo(f"{opening}  {as_json(dict(zip(_FIELDS, row, strict=True)))}", nl=False)
        opening = ",\n"
    typer.echo("[]" if opening == "[\n" else "\n]")


def _print(loaded: EmbeddedTexts, pairs: Iterable[DuplicatePair]) -> None:
    for left, right, score in pairs:
        leads = {left: f"{score:.4f}", right: ""}
        print_texts(
            [(lead, place(loaded.ids[row], loaded.metadatas[row]), loaded.texts[row]) for row, lead in leads.items()]
        )
        typer.echo()


def _summary(found: Duplicates, texts: int, threshold: float, shown: int, output: str | None) -> str:
    if not len(found):
        compared = f"No two of {texts:,} texts" if texts > 1 else "There is only one text: no two"
        return f"{compared} have a similarity of {threshold:g} or more."
    number = "1 pair has" if len(found) == 1 else f"{len(found):,} pairs have"
    line = f"{number} a similarity of {threshold:g} or more: {found.texts_in_pairs:,} of {texts:,} texts are in one."
    if output is not None:
        return f"{line} All are in {output}."
    return f"{line} Not all are shown: see --limit and --output." if shown < len(found) else line

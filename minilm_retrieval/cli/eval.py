"""``minilm eval``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.cli.command import Command
from minilm_retrieval.cli.groups import ungrouped
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.options import PRECISIONS
from minilm_retrieval.store import Retriever, open_collection

if TYPE_CHECKING:
    from minilm_retrieval.evaluation import Comparison, Encoder, Estimate

_ALL = "all"

eval_app = typer.Typer(
    help="Measure how good vectors and searches are, on data that people have judged.", no_args_is_help=True
)

Precisions = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        help="float32, bfloat16, int8, or all that this machine computes in; may be repeated. Default: float32.",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(help="A sentence-transformers model to evaluate beside: its directory or hub id."),
]
Resamples = Annotated[int, typer.Option(min=1, help="Resamples that the 95% intervals are computed from.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides which resamples.")]


@eval_app.command(cls=Command)
def sts(
    file: Annotated[Path, typer.Argument(help="Judged pairs of texts: .tsv, .csv or .jsonl.")],
    score_field: Annotated[
        str | None, typer.Option(help="Name of the human score's field. Default: score and such.")
    ] = None,
    text_fields: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Names of the two texts' fields. Default: sentence1 sentence2 and such."),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of the file. Default: found out.")] = None,
    precision: Precisions = None,
    against: Against = None,
    model: options.Model = None,
    threads: options.Threads = None,
    resamples: Resamples = 2000,
    seed: Seed = 0,
    json: options.JsonOutput = False,
) -> None:
    """Correlate cosine similarities with human scores: Spearman's and Pearson's correlation, x 100."""
    with options.user_errors():
        from minilm_retrieval.evaluation import evaluate_sts

        report = evaluate_sts(
            file,
            _encoders(precision or [options.DEFAULT_PRECISION], model, threads, against),
            score_field=score_field,
            text_fields=text_fields,
            encoding=encoding,
            resamples=resamples,
            seed=seed,
            show_progress=not json and sys.stderr.isatty(),
        )
        if json:
            options.print_json(asdict(report))
            return
        typer.echo(f"{report.pairs:,} pairs of texts{_cut(report.cut)}.\n")
        _print_figures(report, scale=100, digits=2)
        _print_legend(report, "pairs", "Cosine similarity with the human score; correlations x 100.")


@eval_app.command(cls=Command)
@ungrouped
def retrieval(
    *,
    directory: Annotated[
        Path, typer.Argument(help="Judged collection as BEIR has it: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv.")
    ],
    split: Annotated[str, typer.Option(help="Which judgements to take.")] = "test",
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="In ir-measures' notation, such as P@5; may be repeated. Default: nDCG@10 Recall@100 MRR@10 MAP@100."
        ),
    ] = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Also store the vectors in a temporary Chroma, and ask its index.")
    ] = False,
    precision: Precisions = None,
    against: Against = None,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            "-c",
            help="Search this stored collection; the corpus is embedded only if --precision or --against is given too.",
        ),
    ] = None,
    document_field: Annotated[
        str | None,
        typer.Option(
            help="Metadata field of the collection with a document's _id. Default: the id, or index's source."
        ),
    ] = None,
    store: options.Store,
    model: options.Model = None,
    threads: options.Threads = None,
    resamples: Resamples = 2000,
    seed: Seed = 0,
    json: options.JsonOutput = False,
) -> None:
    """Search a collection with judged answers, and measure what is found.

    A document is its title and text, cut where it is longer than the model reads, as in published figures.
    """
    with options.user_errors():
        from minilm_retrieval.evaluation.retrieval import DEFAULT_MEASURES, evaluate_retrieval

        if collection is None and (document_field is not None or store):
            raise InvalidOptionError(
                "--document-field, --path, --host, --port, --ssl and --header go with --collection."
            )
        systems: dict[str, Encoder | Retriever] = {}
        if collection is not None:
            opened = open_collection(collection, **store.arguments())
            # By its own name, unless a precision has that.
            name = f"collection {collection}" if collection in PRECISIONS else collection
            systems[name] = Retriever(opened, options.embedder_for(opened, model, threads, None))
        precisions = precision or ([] if systems else [options.DEFAULT_PRECISION])
        systems |= _encoders(precisions, model, threads, against)
        report = evaluate_retrieval(
            directory,
            systems,
            split=split,
            measures=measure or DEFAULT_MEASURES,
            approximate=approximate,
            document_field=document_field,
            resamples=resamples,
            seed=seed,
            show_progress=not json and sys.stderr.isatty(),
        )
        if json:
            options.print_json(asdict(report))
            return
        typer.echo(f"{report.documents:,} documents{_cut(report.cut_documents)};")
        typer.echo(f"{report.queries:,} queries{_cut(report.cut_queries)}; {report.judgements:,} judgements.\n")
        _print_figures(report, scale=1, digits=3)
        _print_legend(report, "queries", "Means over the queries.")


def _encoders(
    precisions: Iterable[str], model: str | None, threads: int | None, against: str | None
) -> dict[str, Encoder]:
    """Return what the options ask for by the names that the tables show."""
    from minilm_retrieval.evaluation import load_sentence_transformer, supported_precisions, unsupported_precisions

    chosen: list[str] = []
    for precision in precisions:
        if precision == _ALL:
            chosen += supported_precisions()
            for name, reason in unsupported_precisions().items():
                typer.echo(f"minilm: {name} is left out: {reason}", err=True)
        else:
            chosen.append(precision)
    encoders: dict[str, Encoder] = {name: options.make_embedder(model, threads, name) for name in dict.fromkeys(chosen)}
    if against is not None:
        name = Path(against).resolve().name if Path(against).is_dir() else against
        encoders[f"against {name}"] = load_sentence_transformer(against)
    return encoders


def _cut(cut: Mapping[str, int | None]) -> str:
    """Say how many texts were too long; all precisions of one model agree about that."""
    numbers = [number for number in cut.values() if number is not None]
    return f" ({max(numbers):,} longer than the model reads, and cut)" if any(numbers) else ""


def _print_figures(report: Comparison, scale: int, digits: int) -> None:
    from rich.console import Console
    from rich.table import Table

    first, *others = report.figures
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("measure", no_wrap=True)
    table.add_column("system", overflow="fold")
    for heading in ("figure", "95% interval", *(("change", "95% interval") if others else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    for measure in report.figures[first]:
        for system, figures in report.figures.items():
            cells = _cells(figures[measure], scale, digits, "")
            if system != first:
                cells += _cells(report.differences[system][measure], scale, digits + 1, "+")
            table.add_row(measure if system == first else "", system, *cells)
    Console(highlight=False, markup=False).print(table)


def _cells(estimate: Estimate, scale: int, digits: int, sign: str) -> list[str]:
    # Adding zero takes the sign from a negative number that is rounded to nothing.
    value, low, high = (round(scale * number, digits) + 0.0 for number in (estimate.value, estimate.low, estimate.high))
    return [f"{value:{sign}.{digits}f}", f"[{low:.{digits}f}, {high:.{digits}f}]"]


def _print_legend(report: Comparison, resampled: str, said: str) -> None:
    first, *others = report.figures
    typer.echo(f"\n{said}")
    typer.echo(
        f"95% intervals: percentile bootstrap, {report.resamples:,} resamples of the {resampled}, seed {report.seed}."
    )
    if others:
        typer.echo(f"change: from {first}, over the same resamples.")

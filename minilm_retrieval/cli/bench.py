"""``minilm bench``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.cli.doctor import version_of
from minilm_retrieval.cpu import thread_budget
from minilm_retrieval.processor import processor_instructions, processor_name

if TYPE_CHECKING:
    from rich.table import Table

    from minilm_retrieval.bench.measurement import BenchReport

_PACKAGES = ("minilm-retrieval", "openvino", "sentence-transformers", "torch", "chromadb", "onnxruntime")
_MEGABYTE = 1_000_000


def bench(
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; figures are their medians.")] = 5,
    threads: options.Threads = None,
    json: options.JsonOutput = False,
) -> None:
    """Measure this machine: each precision, and sentence-transformers and Chroma's default if they are installed.

    Takes a minute or two, and wants an otherwise idle machine. The texts are those that every Python carries in its
    language reference. Everything has the same number of threads.
    """
    with options.user_errors():
        # Not at the top: every command would load the texts.
        from minilm_retrieval.bench.measurement import measure

        budget = thread_budget(threads)
        report = measure(budget.threads, rounds, lambda message: typer.echo(f"{message} ...", err=True))
        packages = {package: version_of(package) for package in _PACKAGES}
        if json:
            machine = {
                "processor": processor_name(),
                "instructions": processor_instructions(),
                "threads": budget.reason,
            }
            options.print_json({**asdict(report), "machine": machine, "packages": packages})
            return
        _print(report)
        instructions = " ".join(processor_instructions()) or "instructions not known"
        typer.echo(f"\n{processor_name()}, {instructions}; {budget.threads} threads: {budget.reason}; medians")
        typer.echo(f"of {rounds} rounds; " + ", ".join(f"{name} {found}" for name, found in packages.items() if found))
        typer.echo("What else the machine does changes the figures; it changes their ratios less.")
        typer.echo(f"\n{report.recommendation}")


def _print(report: BenchReport) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    speed = _table("Texts/s (times float32)", [*report.tokens, "query p50", "p99"])
    vectors = _table("Vectors and memory", ["mean cosine to float32", "worst", "peak memory"])
    for name, figures in report.figures.items():
        rates = [f"{rate:.0f} ({figures.speedup[kind]:.2f})" for kind, rate in figures.texts_per_second.items()]
        speed.add_row(name, *rates, f"{figures.query_ms:.1f} ms", f"{figures.query_p99_ms:.1f} ms")
        memory = f"{figures.peak_memory / _MEGABYTE:.0f} MB" if figures.peak_memory else "not known"
        vectors.add_row(name, f"{figures.mean_cosine:.5f}", f"{figures.worst_cosine:.5f}", memory)
    lengths = ", ".join(f"{kind} texts have {tokens:.0f}" for kind, tokens in report.tokens.items())
    console.print(speed)
    typer.echo(f"Mean tokens: {lengths}; a query is one short text.\n")
    console.print(vectors)
    for name, reason in report.absent.items():
        typer.echo(f"Not measured: {name}, {reason}")


def _table(title: str, columns: list[str]) -> Table:
    from rich.table import Table

    table = Table(title, box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table

"""``minilm index``."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.cli.scaleout import Cluster
from minilm_retrieval.errors import CollectionNotFoundError, DatabaseNotFoundError
from minilm_retrieval.ingest import (
    Failure,
    IndexingInterrupted,
    IndexReport,
    PassageSplitter,
    index_documents,
    load_documents,
)
from minilm_retrieval.ingest.loading.files import FileFinder
from minilm_retrieval.ingest.loading.loader import TEXT_FIELD
from minilm_retrieval.ingest.loading.readers import SUFFIXES
from minilm_retrieval.store import open_collection
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.local import is_database

if TYPE_CHECKING:
    from minilm_retrieval.embedder import MiniLMEmbedder

_INTERRUPTED = 130


@dataclass(frozen=True)
class Reading:
    """How files are found and read."""

    include: Annotated[
        list[str] | None,
        typer.Option(help="Of the files in folders, read only those that match, such as '*.py'; may be repeated."),
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out the files in folders that match; may be repeated.")
    ] = None
    gitignore: Annotated[bool, typer.Option(help="Leave out what .gitignore files name.")] = True
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of the text files. Default: found out for each file.")
    ] = None
    text_field: Annotated[str, typer.Option(help="Field that holds the text in JSONL, CSV and Parquet files.")] = (
        TEXT_FIELD
    )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``load_documents`` that say so."""
        return {**asdict(self), "include": self.include or (), "exclude": self.exclude or ()}

    def missing(self, paths: Sequence[str]) -> list[Failure]:
        """Return why nothing is found at any of the paths; empty if something is, be it an empty folder."""
        failures = []
        for found in FileFinder(SUFFIXES, self.include or (), self.exclude or (), self.gitignore).find(paths):
            if not isinstance(found, Failure):
                return []
            failures.append(found)
        return failures if len(failures) >= len(paths) else []


@dataclass(frozen=True)
class Passages:
    """How documents are split, and what becomes of their metadata."""

    metadata: Annotated[
        str, typer.Option(help="What to do with fields that Chroma does not store: convert, drop or error.")
    ] = "convert"
    passage_tokens: Annotated[
        int | None, typer.Option(help="Most tokens of a passage. Default: all that the model reads.")
    ] = None
    passage_overlap: Annotated[int, typer.Option(help="Most tokens that a passage repeats of the one before.")] = 0

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``index_documents`` that say so."""
        return {
            "passage_tokens": self.passage_tokens,
            "passage_overlap": self.passage_overlap,
            "metadata_policy": self.metadata,
        }


def index(
    *,
    paths: Annotated[list[str], typer.Argument(help="Files, folders, and quoted patterns such as 'docs/**/*.md'.")],
    collection: options.CollectionName = "docs",
    store: options.Store,
    reading: Reading,
    passages: Passages,
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents that are gone from these paths.")] = False,
    cluster: Cluster,
    model: options.Model = None,
    threads: options.Threads = None,
    precision: options.RecordedPrecision = None,
    json: options.JsonOutput = False,
) -> None:
    """Split files into passages, embed them and store them in a Chroma collection.

    Run it again to take up changes: what is stored already is not embedded again, and a run that was stopped is
    completed. The exit code is 1 if a file could not be indexed; the others are indexed all the same. Addresses such as
    s3://bucket/folder are read with --ray.
    """
    shown = not json and sys.stderr.isatty()
    with options.user_errors(), _stopped_gently():
        place = store.arguments()
        cluster.check(
            local="path" in place, given={"--threads": threads is not None, "--prune": prune, "--path": bool(store)}
        )
        target = None
        try:
            if cluster.output is not None:
                embedder = options.make_embedder(model, threads, precision or options.DEFAULT_PRECISION)
                report = cluster.run(None, paths, embedder, reading.arguments(), passages.arguments(), shown)
            else:
                documents = None if cluster.ray else load_documents(paths, **reading.arguments())
                target, embedder = _opened(collection, place, model, threads, precision)
                # A wrong option must not leave an empty collection behind.
                PassageSplitter(embedder, *passages.arguments().values())
                if target is None and documents is not None and (missing := reading.missing(paths)):
                    # Nor must a wrong path.
                    report = IndexReport(failed=missing)
                else:
                    target = target or open_collection(collection, **place, create=True, embedder=embedder)
                    if documents is None:
                        report = cluster.run(target, paths, embedder, reading.arguments(), passages.arguments(), shown)
                    else:
                        report = index_documents(
                            target, documents, embedder, prune=prune, show_progress=shown, **passages.arguments()
                        )
        except IndexingInterrupted as interruption:
            report = interruption.report
        stored = None if target is None else _count(target)
        if json:
            where = {"collection": collection} if cluster.output is None else {"output": cluster.output}
            options.print_json({**asdict(report), **where, "passages_stored": stored})
        elif cluster.output is not None:
            _print_report(report, f"{cluster.output!r} has them")
        else:
            _print_report(report, f"{collection!r} {'was not made' if stored is None else f'now holds {stored}'}")
    if report.interrupted:
        options.fail("interrupted; run the same command again to go on", _INTERRUPTED)
    if report.failed:
        raise typer.Exit(options.FAILURE)


def _opened(
    name: str, place: dict[str, Any], model: str | None, threads: int | None, precision: str | None
) -> tuple[Any, MiniLMEmbedder]:
    """Return the collection if there is one, and the embedder for it."""
    if "path" not in place or is_database(place["path"]):
        with suppress(CollectionNotFoundError, DatabaseNotFoundError):
            found = open_collection(name, **place)
            return found, options.embedder_for(found, model, threads, precision)
    return None, options.make_embedder(model, threads, precision or options.DEFAULT_PRECISION)


def _count(collection: Any) -> int:
    with store_errors("counting passages"):
        return int(collection.count())


@contextmanager
def _stopped_gently() -> Iterator[None]:
    """Take a request to terminate, as service managers send it, like Ctrl-C; a second of either ends all at once.

    One that is ignored, as shells have jobs in the background ignore Ctrl-C, stays so.
    """
    asked = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(_INTERRUPTED)
        asked = True
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_report(report: IndexReport, outcome: str) -> None:
    for failure in report.failed:
        typer.echo(f"minilm: not indexed: {failure.source}: {failure.reason}", err=True)
    for reason, count in Counter(file.reason for file in report.skipped).most_common():
        typer.echo(f"minilm: passed over {count} {'file' if count == 1 else 'files'}: {reason}", err=True)
    for note, count in report.metadata_changes.items():
        typer.echo(f"minilm: metadata of {count} {'document' if count == 1 else 'documents'}: {note}", err=True)
    counts = [
        f"{report.added} added",
        f"{report.updated} updated",
        f"{report.unchanged} unchanged",
        *(
            f"{number} {what}"
            for number, what in ((report.deleted, "deleted"), (report.empty, "empty"), (len(report.failed), "failed"))
            if number
        ),
    ]
    typer.echo(f"Documents: {', '.join(counts)}.")
    rate = f" ({report.passages_written / report.seconds:.0f} passages/s)" if report.passages_written else ""
    reused = f", {report.passages_reused} of them with a stored vector" if report.passages_reused else ""
    typer.echo(
        f"Passages: {report.passages_written} written{reused}, {report.passages_deleted} removed "
        f"in {report.seconds:.1f} s{rate}; {outcome}."
    )
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report.stage_seconds.items() if seconds >= 0.05)
    if stages:
        typer.echo(f"Time, partly side by side: {stages}.")

"""``minilm index --ray``: the options of a cluster, and what is done with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minilm_retrieval.cli.command import Command
from minilm_retrieval.errors import InvalidOptionError

if TYPE_CHECKING:
    from minilm_retrieval.embedder import MiniLMEmbedder
    from minilm_retrieval.ingest import IndexReport

_OPTION = "--ray"
# What Ray calls an address; anything else after the option is a path to index.
_ADDRESS = re.compile(r"auto|local|(ray://)?[\w.\-]+:\d+|ray://.+|\[[0-9a-fA-F:]+\]:\d+")
ANY_CLUSTER = "any"


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, and what each of its workers gets."""

    ray: Annotated[
        str | None,
        typer.Option(
            _OPTION,
            metavar="[ADDRESS]",
            help="Index on a Ray cluster: host:port, ray://host:port, auto for one that runs on this machine, or local "
            "to start one. Without an address: RAY_ADDRESS, or one that runs here, or else one is started.",
        ),
    ] = None
    ray_workers: Annotated[
        int | None, typer.Option(help="Processes that embed. Default: as many as the cluster has processors for.")
    ] = None
    ray_cpus: Annotated[int | None, typer.Option(help="Processors of each worker. Default: 1.")] = None
    ray_gpus: Annotated[int | None, typer.Option(help="GPUs of each worker, 0 or 1. Default: 0.")] = None
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="With --ray: embed into Parquet files in this folder, in place of a collection."
        ),
    ] = None

    def run(
        self,
        collection: Any,
        paths: Sequence[str],
        embedder: MiniLMEmbedder,
        reading: dict[str, Any],
        splitting: dict[str, Any],
        show_progress: bool,
    ) -> IndexReport:
        """Index into a collection, or embed into the folder where there is one.

        See :func:`minilm_retrieval.scaleout.index_files` and :func:`minilm_retrieval.scaleout.embed_files`.
        """
        from minilm_retrieval.scaleout import Files, Splitting, embed_files, index_files

        work = partial(index_files, collection) if self.output is None else partial(embed_files, self.output)
        return work(
            Files(paths, **reading),
            embedder,
            splitting=Splitting(**splitting),
            show_progress=show_progress,
            **self._resources(),
        )

    def _resources(self) -> dict[str, Any]:
        from minilm_retrieval.scaleout import Workers

        cpus = 1 if self.ray_cpus is None else self.ray_cpus
        return {
            "address": None if self.ray == ANY_CLUSTER else self.ray,
            "workers": Workers(self.ray_workers, cpus, self.ray_gpus or 0),
        }

    def check(self, *, local: bool, given: dict[str, bool]) -> None:
        """Refuse options that do not go together.

        Args:
            local: Whether the collection is in a directory.
            given: Options of one process, and whether they were given.

        Raises:
            InvalidOptionError: Some were, with a cluster; or options of a cluster without one.
        """
        if self.ray is None:
            own = {
                "--ray-workers": self.ray_workers,
                "--ray-cpus": self.ray_cpus,
                "--ray-gpus": self.ray_gpus,
                "--output": self.output,
            }
            named = [name for name, value in own.items() if value is not None]
            if named:
                raise InvalidOptionError(f"{' and '.join(named)} {'goes' if len(named) == 1 else 'go'} with --ray.")
            return
        self._resources()
        if given["--threads"]:
            raise InvalidOptionError("With --ray, a worker has as many threads as processors: say --ray-cpus.")
        if given["--prune"]:
            raise InvalidOptionError(
                "--prune is not offered with --ray. Afterwards, `minilm index --prune` with the same paths removes "
                "what is gone; it embeds nothing that is stored already."
            )
        if self.output is not None and given["--path"]:
            raise InvalidOptionError("Give either --output or the place of a collection, not both.")
        if self.output is None and local:
            raise InvalidOptionError(
                "With --ray, several processes write, which a local directory does not allow: start a server with "
                "`chroma run --path DIRECTORY` and give its --host, or write Parquet files with --output."
            )


class IndexCommand(Command):
    """Takes ``--ray`` with an address after it, or without."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give the option a value where there is none."""
        ready = []
        for number, argument in enumerate(args):
            following = args[number + 1] if number + 1 < len(args) else ""
            bare = argument == _OPTION and not _ADDRESS.fullmatch(following)
            ready.append(f"{_OPTION}={ANY_CLUSTER}" if bare and "--" not in args[:number] else argument)
        return super().parse_args(ctx, ready)

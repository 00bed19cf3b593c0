"""Options that several commands share."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer

from minilm_retrieval.cli.streams import as_json
from minilm_retrieval.embedder import DEFAULTS, MiniLMEmbedder
from minilm_retrieval.errors import (
    CollectionNotFoundError,
    InvalidFilterError,
    InvalidOptionError,
    MiniLMError,
    TruncationWarning,
)
from minilm_retrieval.store.recorded import recorded_embedder

FAILURE = 1
USAGE = 2
DEFAULT_PATH = "./chroma"
CLOUD_KEY = "CHROMA_API_KEY"

JsonOutput = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
CollectionName = Annotated[str, typer.Option("--collection", "-c", help="Name of the collection.")]
Model = Annotated[str | None, typer.Option(help="Model directory or hub id. Default: all-MiniLM-L6-v2.")]
PRECISIONS = "float32, or faster and slightly different: bfloat16, int8. See: minilm bench."
Precision = Annotated[str, typer.Option(help=PRECISIONS)]
RecordedPrecision = Annotated[str | None, typer.Option(help=f"{PRECISIONS} Default: the collection's, or float32.")]
DEFAULT_PRECISION: str = DEFAULTS["precision"]
Threads = Annotated[int | None, typer.Option(help="Threads to use. Default: as many as this process may.")]


@dataclass(frozen=True)
class Store:
    """Where the collections are: a local directory or a server."""

    path: Annotated[str | None, typer.Option("--path", help=f"Chroma directory. Default: {DEFAULT_PATH}.")] = None
    host: Annotated[str | None, typer.Option(help="Host of a Chroma server, in place of --path.")] = None
    port: Annotated[int | None, typer.Option(help="Port of the Chroma server. Default: 8000.")] = None
    ssl: Annotated[bool, typer.Option("--ssl", help="The Chroma server speaks TLS.")] = False
    header: Annotated[
        list[str] | None,
        typer.Option("--header", help="Header for the Chroma server, as 'Name: value'; may be repeated."),
    ] = None
    cloud: Annotated[
        bool, typer.Option("--cloud", help=f"Chroma Cloud, with the key in the environment variable {CLOUD_KEY}.")
    ] = False
    tenant: Annotated[str | None, typer.Option(help="Tenant. Default: Chroma's, or the key's.")] = None
    database: Annotated[str | None, typer.Option(help="Database of the tenant. Default: likewise.")] = None
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that one try of a request to the server may take. Default: 60.")
    ] = None
    retry_for: Annotated[
        float | None, typer.Option(help="Seconds during which a request that failed is tried again. Default: 60.")
    ] = None

    def __bool__(self) -> bool:
        return any(value not in (None, False) for value in vars(self).values())

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``open_collection`` that say where the store is.

        Raises:
            InvalidOptionError: Two places are given, options of a server without one, or there is no key.
        """
        if sum((self.path is not None, self.host is not None, self.cloud)) > 1:
            raise InvalidOptionError("Give either --path or --host or --cloud, not several.")
        names = {"tenant": self.tenant, "database": self.database}
        if self.host is None and not self.cloud:
            of_a_server = (self.port, self.header, self.timeout, self.retry_for)
            if self.ssl or any(value is not None for value in of_a_server):
                raise InvalidOptionError("--port, --ssl, --header, --timeout and --retry-for go with --host.")
            return {"path": DEFAULT_PATH if self.path is None else self.path, **names}
        patience = {"timeout": self.timeout, "retry_for": self.retry_for}
        if self.cloud:
            key = os.environ.get(CLOUD_KEY)
            if not key:
                raise InvalidOptionError(f"--cloud needs a key in the environment variable {CLOUD_KEY}.")
            if self.port is not None or self.ssl or self.header:
                raise InvalidOptionError("--port, --ssl and --header go with --host, not with --cloud.")
            return {"api_key": key, **names, **patience}
        headers = dict(_header(line) for line in self.header or [])
        place = {"host": self.host, "port": self.port, "ssl": self.ssl, "headers": headers}
        return {**place, **names, **patience}


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise InvalidOptionError("--header must be given as 'Name: value'; one of them has no colon, or no name.")
    return name.strip(), value.strip()


def make_embedder(model: str | None, threads: int | None, precision: str) -> MiniLMEmbedder:
    """Return the embedder that the shared options describe."""
    return MiniLMEmbedder(model, threads=threads, precision=precision)


def embedder_for(collection: Any, model: str | None, threads: int | None, precision: str | None) -> MiniLMEmbedder:
    """Return the embedder that the shared options describe; what they leave open is as the collection has it."""
    if model is not None:
        return make_embedder(model, threads, precision or DEFAULT_PRECISION)
    return recorded_embedder(collection, precision=precision, threads=threads)


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    typer.echo(as_json(value, indent=2))


# In place of what is advised to those who call from Python.
_ADVICE = {CollectionNotFoundError: "minilm index makes it.", TruncationWarning: "Shorten or split them."}


def _for_shell(message: Any) -> str:
    if not getattr(message, "advice", ""):
        return str(message)
    return f"{message.fact} {_ADVICE[type(message)]}"


@contextmanager
def user_errors() -> Iterator[None]:
    """Show a mistake as one message on standard error, without a traceback, and exit with 1, or 2 for wrong options.

    Warnings are shown the same way, without the place in the code they point at; so is one that Python was told to take
    for an error.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *place: typer.echo(f"minilm: {_for_shell(message)}", err=True)
            yield
    except (InvalidOptionError, InvalidFilterError) as error:
        fail(str(error), USAGE)
    except (MiniLMError, Warning) as error:
        fail(_for_shell(error), FAILURE)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except BrokenPipeError:
        raise typer.Exit(FAILURE) from None


def fail(message: str, code: int) -> NoReturn:
    """Print a message on standard error and exit."""
    typer.echo(f"minilm: {message}", err=True)
    raise typer.Exit(code)

"""``minilm serve``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from minilm_retrieval.cli import options
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store.client import connect
from minilm_retrieval.store.server import TIMEOUT

_RETRY_FOR = 10.0


def serve(
    path: Annotated[str | None, typer.Option("--path", help="Chroma directory whose collections are searched.")] = None,
    chroma_host: Annotated[str | None, typer.Option(help="Host of a Chroma server, in place of --path.")] = None,
    chroma_port: Annotated[int | None, typer.Option(help="Port of the Chroma server. Default: 8000.")] = None,
    chroma_ssl: Annotated[bool, typer.Option("--chroma-ssl", help="The Chroma server speaks TLS.")] = False,
    chroma_header: Annotated[
        list[str] | None,
        typer.Option("--chroma-header", help="Header for the Chroma server, as 'Name: value'; may be repeated."),
    ] = None,
    chroma_cloud: Annotated[
        bool,
        typer.Option("--chroma-cloud", help=f"Chroma Cloud, with the key in {options.CLOUD_KEY}, in place of --path."),
    ] = False,
    chroma_tenant: Annotated[str | None, typer.Option(help="Tenant of the collections.")] = None,
    chroma_database: Annotated[str | None, typer.Option(help="Database of the collections.")] = None,
    chroma_timeout: Annotated[
        float | None, typer.Option(help="Seconds that one try of a request to the Chroma server may take. Default: 60.")
    ] = None,
    chroma_retry_for: Annotated[
        float | None, typer.Option(help="Seconds during which such a request is tried again. Default: 10.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Others than this machine's want a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8444,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File of API keys, one a line; or set MINILM_API_KEYS, separated by commas.")
    ] = None,
    open_to_all: Annotated[bool, typer.Option("--open-to-all", help="Listen on any address without a key.")] = False,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Let web pages of this origin call the server; may be repeated.")
    ] = None,
    on_truncate: Annotated[
        str, typer.Option(help="Over-long texts: warn (in response headers), ignore, or error (refuse them).")
    ] = "warn",
    max_body_bytes: Annotated[int | None, typer.Option(help="Longest request body.")] = None,
    max_texts: Annotated[int | None, typer.Option(help="Most texts of a request.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of a request.")] = None,
    max_queue: Annotated[int | None, typer.Option(help="Most requests that wait; above it, 429.")] = None,
    max_queue_texts: Annotated[int | None, typer.Option(help="While so many texts wait, 429 for all.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds a request may take.")] = None,
    body_timeout: Annotated[float | None, typer.Option(help="Seconds a request's body may take to arrive.")] = None,
    shutdown_timeout: Annotated[float | None, typer.Option(help="Seconds to finish requests when stopped.")] = None,
    log_format: Annotated[str, typer.Option(help="text or json.")] = "text",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    model: options.Model = None,
    threads: options.Threads = None,
    precision: options.Precision = options.DEFAULT_PRECISION,
) -> None:
    """Serve embeddings, and search in stored collections, over HTTP: OpenAI's API and text-embeddings-inference's."""
    with options.user_errors():
        import minilm_retrieval.server as server

        given: dict[str, Any] = {
            "max_body_bytes": max_body_bytes,
            "max_texts": max_texts,
            "max_tokens": max_tokens,
            "max_queue": max_queue,
            "max_queue_texts": max_queue_texts,
            "timeout": timeout,
            "body_timeout": body_timeout,
            "shutdown_timeout": shutdown_timeout,
        }
        chosen = server.ServerOptions(
            host=host,
            port=port,
            api_keys=server.read_api_keys(api_key_file),
            open_to_all=open_to_all,
            cors_origins=tuple(cors_origin or ()),
            on_truncate=on_truncate,
            **{name: value for name, value in given.items() if value is not None},
        )
        server.set_up_logging(log_format, log_level)
        embedder = options.make_embedder(model, threads, precision)
        # A model that is absent or damaged is said now, not with every request.
        typer.echo(f"{embedder!r} from {embedder.model_origin()}", err=True)
        server.serve(
            embedder,
            chosen,
            _stores(
                options.Store(
                    path,
                    chroma_host,
                    chroma_port,
                    chroma_ssl,
                    chroma_header,
                    chroma_cloud,
                    chroma_tenant,
                    chroma_database,
                    chroma_timeout,
                    chroma_retry_for,
                ),
                chosen.timeout,
            ),
            lambda address: typer.echo(f"Serving {address}/v1", err=True),
        )


def _stores(store: options.Store, most_seconds: float) -> Any:
    """Return what opens the Chroma client; a directory without a database is refused now.

    Args:
        store: Where the collections are.
        most_seconds: What a request to the service may take; nobody waits for a store after that.
    """
    if store.path is None and store.host is None and not store.cloud:
        if store:
            raise InvalidOptionError("Options of a store go with --path, --chroma-host or --chroma-cloud.")
        return None
    if store.path is not None and (store.host is not None or store.cloud):
        raise InvalidOptionError("Give one of --path, --chroma-host and --chroma-cloud.")
    place = store.arguments()
    if store.path is not None:
        connect(**place)
    else:
        # Clients of a service wait for it, and try again themselves.
        for name, usual in (("timeout", TIMEOUT), ("retry_for", _RETRY_FOR)):
            place[name] = min(usual if place[name] is None else place[name], most_seconds)
    return partial(connect, **place)

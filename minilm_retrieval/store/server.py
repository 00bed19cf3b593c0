"""A Chroma server, one's own or Chroma Cloud: how to reach it, and a client that does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from minilm_retrieval.errors import DatabaseNotFoundError, InvalidOptionError, StoreError

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

DEFAULT_PORT = 8000
CLOUD_HOST, CLOUD_PORT = "api.trychroma.com", 443
TIMEOUT, RETRY_FOR = 60.0, 60.0
# A wrong address is said soon, whatever the patience is later.
_FIRST_CONTACT_SECONDS = 5.0
_TOKEN_HEADER = "x-chroma-token"  # noqa: S105 - its name
# What Chroma's client adds to the headers that it was given.
_OWN_HEADERS = frozenset({"content-type", "user-agent"})


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        timeout: Seconds that one try of a request may take.
        retry_for: Seconds since the first try during which it is tried again; 0 for never.
    """

    timeout: float = TIMEOUT
    retry_for: float = RETRY_FOR


@dataclass(frozen=True)
class Server:
    """How to reach a Chroma server.

    Attributes:
        host: Host name; ``None`` for Chroma Cloud.
        port: ``None`` for 8000, or 443 with a key.
        ssl: Whether it speaks TLS.
        headers: Sent with every request.
        tenant: ``None`` for Chroma's default, or the key's.
        database: Likewise.
        api_key: Of Chroma Cloud; not shown.
        timeout: Seconds that one try of a request may take.
        retry_for: Seconds during which a request is tried again.

    Raises:
        InvalidOptionError: A time is out of range.
    """

    host: str | None = None
    port: int | None = None
    ssl: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tenant: str | None = None
    database: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout: float = TIMEOUT
    retry_for: float = RETRY_FOR

    def __post_init__(self) -> None:
        if not (_is_number(self.timeout) and 0 < self.timeout < math.inf):
            raise InvalidOptionError(f"timeout must be a positive number of seconds, got {self.timeout!r}.")
        if not (_is_number(self.retry_for) and 0 <= self.retry_for < math.inf):
            raise InvalidOptionError(f"retry_for must be a number of seconds, 0 or more, got {self.retry_for!r}.")

    @property
    def address(self) -> str:
        """The server's address, without keys."""
        if self.host is not None and self.host.startswith(("http://", "https://")):
            return self.host.rstrip("/")
        secure = self.ssl or (self.api_key is not None and self.host is None)
        return f"{'https' if secure else 'http'}://{self.host or CLOUD_HOST}:{self._port}"

    @property
    def _port(self) -> int:
        if self.port is not None:
            return self.port
        return CLOUD_PORT if self.api_key is not None and self.host is None else DEFAULT_PORT

    def client(self, chromadb: Any, create: bool = False) -> ClientAPI:
        """Return a client, with this patience in all that it asks the server.

        Args:
            chromadb: The module.
            create: Make the database if there is none of its name.

        Raises:
            StoreError: No server answers, it refuses, or there is no such tenant or database.
        """
        from minilm_retrieval.store.retrying import RetryingClient

        self._greet()
        try:
            client = self._connected(chromadb)
        except Exception as error:
            # Chroma's client wraps what the server does not find in an error of another kind.
            if "not found" not in str(error).lower():
                raise StoreError(f"The Chroma server at {self.address} cannot be used: {error}") from error
            if not (create and self.database is not None and self.api_key is None and "database" in str(error).lower()):
                raise self._no_place(error) from error
            self._make_database(chromadb)
            client = self._connected(chromadb)
        server = client._server
        session = server._session
        server._session = RetryingClient(
            Patience(self.timeout, self.retry_for), headers=session.headers, limits=server.http_limits
        )
        session.close()
        return client  # type: ignore[no-any-return]

    def _greet(self) -> None:
        import httpx

        seconds = min(self.timeout, _FIRST_CONTACT_SECONDS)
        headers = {**self.headers, **({_TOKEN_HEADER: self.api_key} if self.api_key else {})}
        try:
            response = httpx.get(f"{self.address}/api/v2/heartbeat", headers=headers, timeout=seconds)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise StoreError(f"No Chroma server answers at {self.address}: {error or type(error).__name__}") from error
        if response.status_code != httpx.codes.OK:
            raise StoreError(
                f"No Chroma server answers at {self.address}: status {response.status_code}, {response.text[:200]}"
            )

    def _connected(self, chromadb: Any) -> Any:
        settings = chromadb.config.Settings(anonymized_telemetry=False)
        if self.api_key is not None:
            settings.chroma_server_headers = dict(self.headers)
            return chromadb.CloudClient(
                tenant=self.tenant,
                database=self.database,
                api_key=self.api_key,
                settings=settings,
                cloud_host=self.host or CLOUD_HOST,
                cloud_port=self._port,
                enable_ssl=self.ssl or self.host is None,
            )
        return chromadb.HttpClient(
            host=self.host,
            port=self._port,
            ssl=self.ssl,
            headers=dict(self.headers),
            settings=settings,
            **_named(tenant=self.tenant, database=self.database),
        )

    def _make_database(self, chromadb: Any) -> None:
        settings = chromadb.config.Settings(
            chroma_api_impl="chromadb.api.fastapi.FastAPI",
            chroma_server_host=self.host,
            chroma_server_http_port=self._port,
            chroma_server_ssl_enabled=self.ssl,
            chroma_server_headers=dict(self.headers),
            anonymized_telemetry=False,
        )
        try:
            chromadb.AdminClient(settings).create_database(self.database, **_named(tenant=self.tenant))
        except Exception as error:
            raise self._no_place(error) from error

    def _no_place(self, error: Exception) -> StoreError:
        given = [f"{name} {value!r}" for name, value in (("tenant", self.tenant), ("database", self.database)) if value]
        return DatabaseNotFoundError(
            f"The Chroma server at {self.address} does not have the {' and '.join(given) or 'default database'}: "
            f"{str(error).split('.')[0]}. Check the names, or make them with chromadb.AdminClient."
        )


def reaching(store: Any) -> dict[str, Any]:
    """Return the arguments of :func:`minilm_retrieval.store.connect` that reach the same server, for another process.

    Args:
        store: A client of a server, or a collection there.
    """
    from minilm_retrieval.store.retrying import RetryingClient

    inside = getattr(store, "_client", None) or store._server
    settings = inside.get_settings()
    headers = settings.chroma_server_headers or {}
    session = getattr(inside, "_session", None)
    patience = session.patience if isinstance(session, RetryingClient) else Patience()
    server = Server(
        host=settings.chroma_server_host,
        port=settings.chroma_server_http_port,
        ssl=bool(settings.chroma_server_ssl_enabled),
        headers={name: value for name, value in headers.items() if name.lower() not in _OWN_HEADERS},
        tenant=store.tenant,
        database=store.database,
        api_key=settings.chroma_client_auth_credentials,
        timeout=patience.timeout,
        retry_for=patience.retry_for,
    )
    return asdict(server)


def _named(**names: str | None) -> dict[str, str]:
    return {name: value for name, value in names.items() if value is not None}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

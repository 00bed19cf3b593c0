"""A Chroma server, one's own or Chroma Cloud: how to reach it, and a client that does."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from minilm_retrieval.errors import DatabaseNotFoundError, InvalidOptionError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

DEFAULT_PORT = 8000
CLOUD_HOST, CLOUD_PORT = "api.trychroma.com", 443
TIMEOUT, RETRY_FOR = 60.0, 60.0
# A wrong address is said soon, whatever the patience is later.
_FIRST_CONTACT_SECONDS = 5.0
_TOKEN_HEADER = "x-chroma-token"  # noqa: S105 - its name
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
# What Chroma's client adds to the headers that it was given.
_OWN_HEADERS = frozenset({"content-type", "user-agent"})


class NoAnswerError(StoreUnavailableError):
    """A server gave no answer in time, however often it was asked; raised within Chroma's client."""


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
        InvalidOptionError: A time is out of range, or a header or key cannot be sent.
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
        if self.host is not None and not (isinstance(self.host, str) and self.host.strip()):
            raise InvalidOptionError(f"host must be a server's name or address, got {self.host!r}.")
        # No message shows a value: it is a secret more often than not.
        for name, value in self.headers.items():
            texts = isinstance(name, str) and isinstance(value, str)
            if not (texts and _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
                raise InvalidOptionError(
                    f"The header {name!r} cannot be sent: its name must be of letters, digits and hyphens, and its "
                    "value of ASCII characters without line breaks."
                )
        if self.api_key is not None and not re.fullmatch(r"[\x21-\x7e]+", self.api_key):
            raise InvalidOptionError("An API key must be of ASCII characters, without spaces and line breaks.")

    @property
    def address(self) -> str:
        """The server's address, without keys."""
        if self.host is not None and self.host.startswith(("http://", "https://")):
            return self.host.rstrip("/")
        return f"{'https' if self._secure else 'http'}://{self.host or CLOUD_HOST}:{self._port}"

    @property
    def _secure(self) -> bool:
        return self.ssl or (self.api_key is not None and self.host is None)

    @property
    def _port(self) -> int:
        if self.port is not None:
            return self.port
        return CLOUD_PORT if self.api_key is not None and self.host is None else DEFAULT_PORT

    @property
    def first_contact(self) -> Patience:
        """The patience with an address that has not answered yet."""
        return Patience(min(self.timeout, _FIRST_CONTACT_SECONDS), 0.0)

    def client(self, chromadb: Any, create: bool = False) -> ClientAPI:
        """Return a client, with this patience in all that it asks the server.

        Args:
            chromadb: The module.
            create: Make the database if there is none of its name.

        Raises:
            StoreError: No server answers, it refuses, or there is no such tenant or database.
        """
        from minilm_retrieval.store.server_client import ServerClient

        self._greet()
        patience = Patience(self.timeout, self.retry_for)
        settings = self._settings(chromadb)
        tenant, database = self.tenant, self.database
        if self.api_key is None:
            tenant, database = tenant or chromadb.DEFAULT_TENANT, database or chromadb.DEFAULT_DATABASE
        else:
            tenant = tenant or os.environ.get("CHROMA_TENANT")
            database = database or os.environ.get("CHROMA_DATABASE")
        try:
            return ServerClient(
                settings, patience, self.first_contact, create and self.api_key is None, tenant, database
            )
        except chromadb.errors.NotFoundError as error:
            raise self._no_place(error) from error
        except NoAnswerError as error:
            raise StoreUnavailableError(f"The Chroma server at {self.address} cannot be used: {error}") from error
        except Exception as error:
            raise StoreError(f"The Chroma server at {self.address} cannot be used: {error}") from error

    def _greet(self) -> None:
        import httpx

        from minilm_retrieval.store.retrying import certificate_hint

        seconds = self.first_contact.timeout
        headers = {**self.headers, **({_TOKEN_HEADER: self.api_key} if self.api_key else {})}
        try:
            response = httpx.get(f"{self.address}/api/v2/heartbeat", headers=headers, timeout=seconds)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise StoreUnavailableError(
                f"No Chroma server answers at {self.address}: {error or type(error).__name__}{certificate_hint(error)}"
            ) from error
        if response.status_code != httpx.codes.OK:
            raise StoreError(
                f"No Chroma server answers at {self.address}: status {response.status_code}, {response.text[:200]}"
            )

    def _settings(self, chromadb: Any) -> Any:
        """Return the settings that Chroma's own HttpClient and CloudClient make."""
        settings = chromadb.config.Settings(anonymized_telemetry=False)
        settings.chroma_api_impl = "chromadb.api.fastapi.FastAPI"
        settings.chroma_server_host = self.host or CLOUD_HOST
        settings.chroma_server_http_port = self._port
        settings.chroma_server_ssl_enabled = self._secure
        settings.chroma_server_headers = dict(self.headers)
        if self.api_key is not None:
            from chromadb.auth.token_authn import TokenTransportHeader

            settings.chroma_client_auth_provider = "chromadb.auth.token_authn.TokenAuthClientProvider"
            settings.chroma_client_auth_credentials = self.api_key
            settings.chroma_auth_token_transport_header = TokenTransportHeader.X_CHROMA_TOKEN
            settings.chroma_overwrite_singleton_tenant_database_access_from_auth = True
        return settings

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


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

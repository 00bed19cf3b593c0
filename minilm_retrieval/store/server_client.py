"""Chroma's client of a server, with limits of time from its first request on."""

from __future__ import annotations

from typing import Any

from chromadb.api.client import Client
from chromadb.auth import UserIdentity
from chromadb.config import Settings
from chromadb.errors import NotFoundError

from minilm_retrieval.store.retrying import RetryingClient
from minilm_retrieval.store.server import Patience


class ServerClient(Client):
    """A client of Chroma whose every request is limited, and tried again, by a :class:`RetryingClient`.

    Args:
        settings: Chroma's.
        patience: The limits.
        first_contact: The limits until the tenant and the database have been found.
        make_database: Whether to make the database if the tenant has none of that name.
        tenant: Tenant; ``None`` for the only one of the key.
        database: Database; likewise.
    """

    def __init__(
        self,
        settings: Settings,
        patience: Patience,
        first_contact: Patience,
        make_database: bool,
        tenant: str | None,
        database: str | None,
    ) -> None:
        self._first_contact = first_contact
        self._make_database = make_database
        super().__init__(tenant=tenant, database=database, settings=settings)
        self._requests.patience = patience

    def get_user_identity(self) -> UserIdentity:
        """Return who the server takes this client for; Chroma's client asks that before all else."""
        server: Any = self._server
        if not isinstance(server._session, RetryingClient):
            # Chroma's own session waits for ever.
            session = server._session
            server._session = RetryingClient(self._first_contact, headers=session.headers, limits=server.http_limits)
            session.close()
        return self._server.get_user_identity()

    def _validate_tenant_database(self, tenant: str, database: str) -> None:
        self._server.get_tenant(name=tenant)
        try:
            self._server.get_database(name=database, tenant=tenant)
        except NotFoundError:
            if not self._make_database:
                raise
            self._server.create_database(name=database, tenant=tenant)

    @property
    def _requests(self) -> RetryingClient:
        server: Any = self._server
        return server._session  # type: ignore[no-any-return]

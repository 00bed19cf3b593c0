"""The largest requests that a store takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from minilm_retrieval.store.client import store_errors

PAGE = 1000
"""Records read, written or deleted at a time, where the store takes so many."""
# Source: docs.trychroma.com, Quotas & Limits: so many records in a write, and results of a query or get.
CLOUD_RECORDS = 300
_CLOUD_DOMAIN = ".trychroma.com"
T = TypeVar("T")


def is_cloud(client: Any) -> bool:
    """Tell whether a client is one of Chroma Cloud, or of a server that is opened with such a key."""
    settings = client.get_settings()
    host = str(settings.chroma_server_host or "")
    return bool(settings.chroma_client_auth_credentials) or host.endswith(_CLOUD_DOMAIN)


def page_size(client: Any) -> int:
    """Return how many records to read, write or delete at a time."""
    with store_errors("asking for the largest batch"):
        most: int = client.get_max_batch_size()
    return min([PAGE, *([most] if most > 0 else []), *([CLOUD_RECORDS] if is_cloud(client) else [])])


def most_results(client: Any) -> int | None:
    """Return how many results a query may ask for; ``None`` where there is no limit."""
    return CLOUD_RECORDS if is_cloud(client) else None


def in_lots(client: Any, items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield items, such as ids, in lots of a size that the store takes."""
    size = page_size(client) if items else PAGE
    for start in range(0, len(items), size):
        yield items[start : start + size]

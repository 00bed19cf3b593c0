"""What the routes of one server share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from minilm_retrieval.server.metrics import Metrics
from minilm_retrieval.server.options import ServerOptions
from minilm_retrieval.server.service import EmbeddingService
from minilm_retrieval.server.stores import VectorStores


@dataclass(frozen=True)
class State:
    """One server's parts.

    Attributes:
        service: Gives vectors of unit length.
        unnormalized: Gives vectors as they are pooled; loaded when first asked.
        stores: The collections, ``None`` where the server was given none.
        started: Unix time of the start, in seconds.
    """

    options: ServerOptions
    metrics: Metrics
    service: EmbeddingService
    unnormalized: EmbeddingService
    stores: VectorStores | None
    started: int = field(default_factory=lambda: int(time.time()))

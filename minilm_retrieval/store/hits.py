"""What a search is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from minilm_retrieval.errors import InvalidOptionError

DEFAULT_K = 10

Exact = bool | Literal["auto"]
Where = Mapping[str, Any] | None


@dataclass(frozen=True)
class Hit:
    """One result.

    Attributes:
        id: The record's id.
        score: Cosine similarity with the query, in [-1, 1].
        document: The stored text, ``None`` where none is stored.
        metadata: The stored metadata, empty where none is stored.
    """

    id: str
    score: float
    document: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Filter:
    """Chroma's filters of metadata and document, ``None`` rather than empty."""

    where: Any
    where_document: Any

    def __bool__(self) -> bool:
        return self.where is not None or self.where_document is not None

    def arguments(self) -> dict[str, Any]:
        """Return the filters as arguments of Chroma's ``get`` and ``query``."""
        return {"where": self.where, "where_document": self.where_document}


NO_FILTER = Filter(None, None)


@dataclass(frozen=True)
class SearchOptions:
    """The options of one search, checked; see :meth:`minilm_retrieval.Retriever.search`.

    Raises:
        InvalidOptionError: One of them is out of range.
    """

    k: int
    filter: Filter
    min_score: float | None
    exact: Exact

    @classmethod
    def of(cls, k: int, where: Where, where_document: Where, min_score: float | None, exact: Exact) -> SearchOptions:
        """Make the options from the arguments of a search; an empty filter is none."""
        return cls(k, Filter(where or None, where_document or None), min_score, exact)

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise InvalidOptionError(f"k must be a whole number of at least 1, got {self.k!r}.")
        if self.min_score is not None and not -1.0 <= self.min_score <= 1.0:
            raise InvalidOptionError(f"min_score is a cosine similarity between -1 and 1, got {self.min_score!r}.")
        if self.exact not in (True, False, "auto"):
            raise InvalidOptionError(f"exact={self.exact!r} is not offered; expected True, False or 'auto'.")

"""What a search is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from minilm_retrieval.errors import InvalidFilterError, InvalidOptionError
from minilm_retrieval.whole_numbers import at_least

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
    """The options of one search; see :meth:`minilm_retrieval.Retriever.search`."""

    k: int
    filter: Filter
    min_score: float | None
    exact: Exact

    @classmethod
    def of(cls, k: int, where: Where, where_document: Where, min_score: float | None, exact: Exact) -> SearchOptions:
        """Make the options from the arguments of a search; an empty filter is none.

        Raises:
            InvalidOptionError: One of them is out of range.
            InvalidFilterError: A filter is no mapping.
        """
        filter = Filter(_filter("where", where), _filter("where_document", where_document))
        return cls(at_least("k", k, 1), filter, _score(min_score), _exact(exact))


def _filter(name: str, value: Where) -> Where:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidFilterError(f"{name} is a mapping such as {{'key': 'value'}}, got {value!r}.")
    return value or None


def _score(min_score: float | None) -> float | None:
    try:
        if min_score is None or -1.0 <= min_score <= 1.0:
            return min_score
    except TypeError:
        pass
    raise InvalidOptionError(f"min_score is a cosine similarity between -1 and 1, got {min_score!r}.")


def _exact(exact: Exact) -> Exact:
    if isinstance(exact, (bool, np.bool_)):
        return bool(exact)
    if isinstance(exact, str) and exact == "auto":
        return "auto"
    raise InvalidOptionError(f"exact={exact!r} is not offered; expected True, False or 'auto'.")

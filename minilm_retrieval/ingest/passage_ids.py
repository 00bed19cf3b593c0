"""The ids of passages: which source, which version of it, which piece of how many. All state of indexing is in them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

# The prefix tells passages written here from records that other tools keep in the same collection.
ID_PREFIX = "minilm-"
_SOURCE_DIGITS = 20
_VERSION_DIGITS = 24
_FORM = re.compile(rf"{ID_PREFIX}([0-9a-f]{{{_SOURCE_DIGITS}}})-([0-9a-f]{{{_VERSION_DIGITS}}})-(\d+)-(\d+)")


@dataclass(frozen=True)
class PassageId:
    """What the id of a passage says.

    A source is whole when every number below ``count`` of one version is stored, and clean when no other version is.

    Attributes:
        source: Digest of the document's id, see :func:`source_digest`.
        version: Digest of all that decides its passages: text, metadata, and how it was split.
        number: Which passage, from 0.
        count: How many passages this version has.

    >>> PassageId.parse("minilm-0123456789abcdef0123-0123456789abcdef01234567-2-7").number
    2
    >>> PassageId.parse("id of another tool") is None
    True
    """

    source: str
    version: str
    number: int
    count: int

    def __str__(self) -> str:
        return f"{ID_PREFIX}{self.source}-{self.version}-{self.number}-{self.count}"

    @classmethod
    def parse(cls, id: str) -> PassageId | None:
        """Return what an id says; ``None`` for one that this library did not make."""
        found = _FORM.fullmatch(id)
        if found is None or int(found[3]) >= int(found[4]):
            return None
        return cls(found[1], found[2], int(found[3]), int(found[4]))


def source_digest(source: str) -> str:
    """Return the part of passage ids that stands for a document's id."""
    return _digest(source)[:_SOURCE_DIGITS]


def version_digest(description: str) -> str:
    """Return the part of passage ids that stands for a version, from a description of all that decides it."""
    return _digest(description)[:_VERSION_DIGITS]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

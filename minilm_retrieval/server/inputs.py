"""What two protocols take alike: one text or several, or the token ids of one or of several."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StrictInt, StrictStr

# Of a million items that are wrong one is told, and the others take no time.
Texts = Annotated[list[StrictStr], Field(fail_fast=True)]
Ids = Annotated[list[Annotated[StrictInt, Field(ge=0, le=0xFFFFFFFF)]], Field(fail_fast=True)]
Sequences = Annotated[list[Ids], Field(fail_fast=True)]


def as_texts(given: Any) -> list[str] | None:
    """Return the texts of an input that is not empty, ``None`` where it is token ids."""
    if isinstance(given, str):
        return [given]
    return given if isinstance(given[0], str) else None


def as_sequences(given: Any) -> list[list[int]]:
    """Return the sequences of token ids of an input that is neither empty nor text."""
    return [given] if isinstance(given[0], int) else given

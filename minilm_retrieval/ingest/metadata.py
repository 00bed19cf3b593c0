"""What becomes of metadata that Chroma does not store: an explicit policy, applied before anything is embedded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sized
from datetime import date, time
from enum import Enum
from numbers import Number
from typing import Any

import numpy as np

from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.tokenizer import well_formed

RESERVED = ("source", "start", "end")
METADATA_POLICIES = ("convert", "drop", "error")
_CHROMA_PREFIX = "chroma:"
# Chroma's filters use these signs for operators and for the document.
_SIGNS = ("$", "#")
_LARGEST_INTEGER = 2**63
_SCALARS = (str, bool, int, float)
# Of numpy's times, finer than Python's.
_FINE_UNITS = ("ns", "ps", "fs", "as")


class MetadataPolicy:
    """Turns a document's metadata into what Chroma keeps.

    That is text, integers of 64 bits, finite numbers, truth values, and lists of one of these types, numpy's as well as
    Python's. ``None``, ``NaT`` and ``NA`` of numpy and pandas, and empty lists and objects are left out under every
    policy: they hold nothing. Of the rest, which Chroma refuses, or loses in silence as it does not-a-number and larger
    integers,

    - ``"convert"`` stores dates in ISO 8601, nested and mixed values as JSON text, other objects as their text, leaves
      out numbers that are not finite, and renames keys that are taken (``source`` becomes ``source_``) or that start
      with a sign of Chroma's filters (``$ref`` becomes ``_ref``);
    - ``"drop"`` leaves it out;
    - ``"error"`` refuses the document.

    Args:
        policy: One of these names.

    Raises:
        InvalidOptionError: Another name.
    """

    def __init__(self, policy: str = "convert") -> None:
        if policy not in METADATA_POLICIES:
            raise InvalidOptionError(
                f"metadata_policy={policy!r} is not offered; expected one of {', '.join(METADATA_POLICIES)}."
            )
        self.policy = policy

    def apply(self, metadata: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the metadata to store, and a sentence about each value or key that is not stored as it came.

        Raises:
            DocumentError: The metadata is no mapping, something in it has no text that stays the same, or the policy is
                ``"error"`` and something is refused.
        """
        if not isinstance(metadata, Mapping):
            raise DocumentError(f"metadata must be a mapping, got {type(metadata).__name__}")
        stored: dict[str, Any] = {}
        notes: list[str] = []
        for key, value in metadata.items():
            plain = _plain(value)
            if plain is None:
                continue
            wrong = f"key {key!r} is written by indexing" if key in RESERVED else unstorable(key, plain)
            if not wrong:
                stored[key] = plain
            elif self.policy == "error":
                raise DocumentError(f"the metadata {wrong}; Chroma does not store that")
            elif self.policy == "drop":
                notes.append(f"{key!r} left out")
            else:
                notes += _convert(key, plain, metadata, stored)
        return stored, notes


def unstorable(key: Any, value: Any) -> str:
    """Return what keeps Chroma from storing a key and a value as they are; ``""`` if nothing does."""
    if not isinstance(key, str):
        return f"key {key!r} is a {type(key).__name__}, not text"
    if not key or key.startswith((*_SIGNS, _CHROMA_PREFIX)) or key != well_formed(key):
        return f"key {key!r} is empty, starts with $, # or {_CHROMA_PREFIX}, or is not valid Unicode"
    if isinstance(value, list):
        if not value or len({type(item) for item in value}) > 1 or not isinstance(value[0], _SCALARS):
            return f"{key!r} is a list of other things than texts, or numbers, or truth values of one type"
        return next((wrong for item in value if (wrong := _wrong_scalar(key, item))), "")
    if not isinstance(value, _SCALARS):
        return f"{key!r} is a {type(value).__name__}"
    return _wrong_scalar(key, value)


def _wrong_scalar(key: str, value: Any) -> str:
    if isinstance(value, str) and value != well_formed(value):
        return f"{key!r} is not valid Unicode"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{key!r} is {value}"
    if isinstance(value, int) and not -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
        return f"{key!r} has more than 64 bits"
    return ""


def _plain(value: Any) -> Any:
    """Return a value and the members of a list as Python's own, tuples as lists, and ``None`` for nothing at all."""
    value = _own(value)
    if isinstance(value, tuple | list):
        value = [_own(item) for item in value]
    return None if isinstance(value, list | dict) and not value else value


def _own(value: Any) -> Any:
    """Return what a value of numpy, pandas or an enumeration is in Python, where Python has it; any other as it is."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, np.ndarray):
        # Without dimensions, what it holds.
        value = value[()]
    if isinstance(value, np.datetime64 | np.timedelta64):
        return _own_time(value)
    if isinstance(value, np.ndarray):
        return list(value) if value.dtype.kind in "mM" else value.tolist()
    if isinstance(value, np.generic):
        plain = value.tolist()
        # Numbers of more digits than Python's stay what they are.
        return value if isinstance(plain, np.generic) else plain
    if isinstance(value, str):
        return well_formed(value)
    return None if _is_missing(value) else value


def _own_time(value: np.datetime64 | np.timedelta64) -> Any:
    """Return a moment or duration as Python's, which are exact to microseconds; as it is where those do not hold it."""
    unit, _ = np.datetime_data(value.dtype)
    rounded = value.astype(f"{value.dtype.kind}8[us]") if unit in _FINE_UNITS else value
    plain = rounded.tolist()
    return value if isinstance(plain, int) or (plain is not None and rounded != value) else plain


def _is_missing(value: Any) -> bool:
    """Tell whether a value stands for none: pandas' NaT is not equal to itself, and NA gives itself when compared."""
    if isinstance(value, Number | Sized):
        return False
    differs = value != value
    return differs is True or differs is value


def _convert(key: Any, value: Any, metadata: Mapping[str, Any], stored: dict[str, Any]) -> list[str]:
    """Store what can be of a value that is refused, under a name that is not taken, and return the notes about it."""
    name = _renamed(key)
    if name != key and (name in metadata or name in stored):
        raise DocumentError(f"the metadata key {key!r} would be stored as {name!r}, which is there already")
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{key!r} left out where it is not finite"]
    notes = [f"{key!r} stored as {name!r}"] if name != key else []
    if unstorable(name, value):
        notes.append(f"{key!r} stored as text")
        value = _text_of(key, value)
    stored[name] = value
    return notes


def _renamed(key: Any) -> str:
    name = well_formed(str(key))
    if name.startswith(_CHROMA_PREFIX):
        return name.replace(":", "_")
    if not name or name.startswith(_SIGNS):
        return f"_{name[1:]}"
    return f"{name}_" if name in RESERVED else name


def _text_of(key: Any, value: Any) -> str:
    """Return a value as text that is the same in every run, since passages' ids depend on it."""
    if not isinstance(value, list | dict | set | frozenset):
        return well_formed(_plain_text(value))
    try:
        ordered = _plain_text(value) if isinstance(value, set | frozenset) else value
        return well_formed(json.dumps(ordered, ensure_ascii=False, sort_keys=True, default=_plain_text))
    except (TypeError, ValueError, RecursionError) as error:
        raise DocumentError(f"the metadata {key!r} cannot be written as JSON: {error}") from error


def _plain_text(value: Any) -> Any:
    """Return what JSON can express of a value that it has no form for."""
    own = _own(value)
    if own is not value:
        return own
    if isinstance(value, set | frozenset):
        return sorted(value, key=lambda item: (type(item).__name__, str(item)))
    if isinstance(value, date | time):
        return value.isoformat()
    kind: Any = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        raise DocumentError(f"the metadata holds a {kind.__name__}, which has no text to store")
    return str(value)

"""Whole numbers among options, of Python's type or another one, such as numpy's."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from minilm_retrieval.errors import InvalidOptionError


def whole_number(value: Any) -> int | None:
    """Return a whole number as an int; ``None`` if it is not one, as are ``True`` and ``False``.

    >>> [whole_number(value) for value in (3, np.int64(3), True, 3.0, "3")]
    [3, 3, None, None, None]
    """
    try:
        return None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        return None


def at_least(name: str, value: Any, least: int) -> int:
    """Return the whole number that an option is, having made sure that it is large enough.

    Raises:
        InvalidOptionError: It is not one, or less.
    """
    number = whole_number(value)
    if number is None or number < least:
        raise InvalidOptionError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return number

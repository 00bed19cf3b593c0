"""Memory that was freed, given back to the system.

The runtime frees and allocates its buffers anew for each shape. The C library keeps the freed ones in pieces, of which
a process would hold the more, the more shapes it has seen and the more threads they met.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any


def _malloc_trim() -> Callable[[int], Any] | None:
    """Return glibc's function, ``None`` where the C library is another."""
    try:
        found: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return found


_TRIM = _malloc_trim()


def give_back_freed_memory() -> None:
    """Give it back to the system; nothing is done where the C library offers no such thing."""
    if _TRIM is not None:
        _TRIM(0)

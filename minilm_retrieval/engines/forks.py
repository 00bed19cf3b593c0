"""What a child of ``fork`` must never free: objects of the parent whose threads do not exist in the child."""

from __future__ import annotations

import ctypes


def keep_for_ever(thing: object) -> None:
    """Keep an object alive even when the interpreter ends, by a reference that nobody gives back."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))

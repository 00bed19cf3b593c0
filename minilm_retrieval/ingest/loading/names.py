"""How files are named in ids, and errors in reports."""

from __future__ import annotations

import os


def source_name(path: str) -> str:
    """Return the absolute path without symbolic links, as text that can be stored and printed."""
    return printable(os.path.realpath(path))


def printable(path: str) -> str:
    r"""Return a path as text that can be stored: bytes of its name that are not UTF-8 are written as ``\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def one_line(error: Exception) -> str:
    """Return what went wrong, without the path that the report names anyway."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(reason.split()) or type(error).__name__

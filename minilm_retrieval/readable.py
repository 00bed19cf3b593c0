"""Whether files and folders can be read, and if not, why: the same on every version of Python.

``pathlib``'s own ``is_dir`` and ``is_file`` raise where it cannot be told on some versions, and say no on others.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minilm_retrieval.errors import MiniLMError, ModelUnreadableError

AnyPath = str | os.PathLike[str]

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def is_directory(path: AnyPath) -> bool:
    """Tell whether this is seen to be a directory; never raises."""
    try:
        return stat.S_ISDIR(_mode(path))
    except OSError:
        return False


def is_file(path: AnyPath) -> bool:
    """Tell whether this is a file.

    Raises:
        OSError: It cannot be told, as for lack of a right; see :func:`reading`.
    """
    return stat.S_ISREG(_mode(path))


def check_visible(path: AnyPath) -> None:
    """Make sure that it can be told whether there is anything; it raises as :func:`is_file`."""
    _mode(path)


@contextmanager
def reading(path: AnyPath) -> Iterator[None]:
    """Say why a model's file or folder cannot be read.

    Args:
        path: What is read, where the system's error does not name it.

    Raises:
        ModelUnreadableError: In place of each ``OSError`` that is not of this library.
    """
    try:
        yield
    except MiniLMError:
        raise
    except OSError as error:
        raise ModelUnreadableError(
            f"{error.filename or os.fspath(path)} cannot be read: {error.strerror or error}. {_remedy(error)}"
        ) from error


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "Give this user the right to read it and to enter the folders above it, or name a copy that may be read."
    return "Name a model whose files can be read, or copy this one again."


def _mode(path: AnyPath) -> int:
    """Return the kind of what is there, 0 for nothing."""
    try:
        return Path(path).stat().st_mode
    except ValueError:
        return 0
    except OSError as error:
        if error.errno in _ABSENT:
            return 0
        raise

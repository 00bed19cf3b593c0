"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(file: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the path of a new file, which takes the place of another one when the block ends.

    After an error in the block, or whatever interruption, the other file is as it was.

    Args:
        file: The other file, whether it exists or not; what is no regular file, such as a pipe, is given itself.

    Raises:
        OSError: The new file cannot take its place.
    """
    # A symbolic link stays one.
    path = Path(file).resolve()
    if path.exists() and not path.is_file():
        yield path
        return
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield unfinished
        with unfinished.open("rb+") as stream:
            os.fsync(stream.fileno())
        if path.exists():
            shutil.copymode(path, unfinished)
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise

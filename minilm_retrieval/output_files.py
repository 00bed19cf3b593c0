"""Files of results: whether they can be written, and arrays that are written as they come."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.rows import FloatArray


def check_output(file: str | os.PathLike[str], suffixes: Sequence[str]) -> None:
    """Check before long work that a file can be written.

    Args:
        file: Its path.
        suffixes: What its name may end in.

    Raises:
        InvalidOptionError: Its name ends in something else.
        DocumentError: Its directory does not exist, or it is a directory itself.
    """
    path = Path(file)
    if path.suffix.lower() not in suffixes:
        raise InvalidOptionError(
            f"The name of an output file must end in {' or '.join(suffixes)}, got {os.fspath(file)!r}."
        )
    if not path.parent.is_dir():
        raise DocumentError(f"{os.fspath(file)} cannot be written: there is no directory {path.parent}.")
    if path.is_dir():
        raise DocumentError(f"{os.fspath(file)} cannot be written: it is a directory.")


def write_array(stream: BinaryIO, shape: tuple[int, int], blocks: Iterable[FloatArray]) -> None:
    """Write an array in numpy's format, whose own function asks for its place in the file: a pipe has none.

    Args:
        stream: Where to.
        shape: Of the whole array.
        blocks: Its rows, float32, some at a time.
    """
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for block in blocks:
        stream.write(block.astype("<f4", copy=False).tobytes())

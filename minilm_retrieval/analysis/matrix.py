"""The similarities of all texts with all, as numbers in a file."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from minilm_retrieval.analysis.texts import EmbeddedTexts
from minilm_retrieval.errors import DocumentError
from minilm_retrieval.output_files import check_output, write_array
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.rows import FloatArray
from minilm_retrieval.similarity import similarity_blocks
from minilm_retrieval.whole_files import whole_file

MATRICES = (".csv", ".npy")
_CSV_BYTES = 9
_NPY_BYTES = 4


def check_matrix(file: str | os.PathLike[str]) -> None:
    """Check before long work that similarities can be written to a file.

    Raises:
        As :func:`save_matrix`, but that the file may turn out not to be writable, or too large.
    """
    check_output(file, MATRICES)


def save_matrix(texts: EmbeddedTexts, file: str | os.PathLike[str], *, show_progress: bool = False) -> None:
    """Write the cosine similarity of every text with every other, some rows at a time.

    Args:
        texts: Of a file or a collection.
        file: Ends in ``.csv``, for ids in the first line and column and six decimals, or in ``.npy``, for an array of
            shape ``(n, n)``, float32.
        show_progress: Show a progress bar on standard error.

    Raises:
        InvalidOptionError: The name ends in something else.
        DocumentError: The file cannot be written, or has no room on its disk; one of that name is as it was.
    """
    check_matrix(file)
    path, count = Path(file), len(texts)
    as_csv = path.suffix.lower() == ".csv"
    needed = count * count * (_CSV_BYTES if as_csv else _NPY_BYTES)
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DocumentError(
            f"{os.fspath(file)} cannot be written: the similarities of {count:,} texts with each other take "
            f"{needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free."
        )
    try:
        with progress_bar("Comparing", count, show_progress) as advance, whole_file(path) as unfinished:
            (_write_csv if as_csv else _write_npy)(texts, unfinished, advance)
    except OSError as error:
        raise DocumentError(f"{os.fspath(file)} cannot be written: {error.strerror or error}") from error


def _write_csv(texts: EmbeddedTexts, path: Path, advance: Callable[[int], None]) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", *texts.ids])
        written = 0
        for block in similarity_blocks(texts.vectors):
            for id, row in zip(texts.ids[written : written + len(block)], block.tolist(), strict=True):
                writer.writerow([id, *map("{:.6f}".format, row)])
            written += len(block)
            advance(len(block))


def _write_npy(texts: EmbeddedTexts, path: Path, advance: Callable[[int], None]) -> None:
    shape = len(texts), len(texts)
    with path.open("wb") as stream:
        write_array(stream, shape, _counted(similarity_blocks(texts.vectors), advance))


def _counted(blocks: Iterable[FloatArray], advance: Callable[[int], None]) -> Iterator[FloatArray]:
    for block in blocks:
        yield block
        advance(len(block))

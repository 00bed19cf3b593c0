"""PDF, Office and HTML files into Markdown, through markitdown's converters."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from minilm_retrieval.errors import DocumentError, InvalidOptionError, MissingExtraError
from minilm_retrieval.ingest.loading.decoding import Encoding, checked_encoding, decode, find_encoding

if TYPE_CHECKING:
    from markitdown import DocumentConverter

_HTML = "HtmlConverter"
_CONVERTERS = {
    ".pdf": "PdfConverter",
    ".docx": "DocxConverter",
    ".pptx": "PptxConverter",
    ".xlsx": "XlsxConverter",
    ".html": _HTML,
    ".htm": _HTML,
}
CONVERTED_SUFFIXES = frozenset(_CONVERTERS)
_LOGGERS = ("pdfminer", "pdfplumber", "bs4")
# What the converter of spreadsheets writes for an empty cell, and above a column without a heading.
_EMPTY_CELL = re.compile(r"(?<=\| )(?:NaN|Unnamed: \d+)(?= \|)")


def to_markdown(data: bytes, suffix: str, encoding: Encoding | None = None) -> tuple[str, dict[str, str]]:
    """Convert a file's content.

    Only the converter of that type is used, and nothing that the file refers to is read or fetched.

    Args:
        data: The file.
        suffix: One of :data:`CONVERTED_SUFFIXES`.
        encoding: Of HTML; ``None`` to find out.

    Returns:
        The text as Markdown, and metadata: the encoding where it was guessed.

    Raises:
        MissingExtraError: markitdown, or what it needs for this type, is not installed.
        DocumentError: The file cannot be converted, or holds no text.
    """
    with _quiet():
        converter = _converter(suffix)
        metadata: dict[str, str] = {}
        if _CONVERTERS[suffix] == _HTML:
            encoding = encoding or find_encoding(data, declared=_declared_encoding(data))
            metadata = encoding.metadata
            data = decode(data, encoding).encode("utf-8", "replace")
        text = _converted(converter, data, suffix)
    if suffix == ".xlsx":
        text = _EMPTY_CELL.sub("", text)
    if not text.strip():
        raise DocumentError("holds no text (scanned pages?)" if suffix == ".pdf" else "holds no text")
    return text, metadata


def _converter(suffix: str) -> DocumentConverter:
    try:
        from markitdown import converters
    except ImportError as error:
        raise MissingExtraError("markitdown", "files") from error
    converter: DocumentConverter = getattr(converters, _CONVERTERS[suffix])()
    return converter


def _converted(converter: DocumentConverter, data: bytes, suffix: str) -> str:
    from markitdown import MissingDependencyException, StreamInfo

    try:
        # Text of any converter is a str here, but may be a subclass that holds on to the whole parsed page.
        return str(converter.convert(BytesIO(data), StreamInfo(extension=suffix, charset="utf-8")).markdown)
    except MissingDependencyException as error:
        raise MissingExtraError(f"what markitdown reads {suffix} files with", "files") from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DocumentError(f"cannot be converted: {type(error).__name__}: {reason}".rstrip(": ")) from error


def _declared_encoding(data: bytes) -> Encoding | None:
    from bs4.dammit import EncodingDetector

    name = EncodingDetector.find_declared_encoding(data, is_html=True)
    try:
        declared = None if name is None else checked_encoding(name)
    except InvalidOptionError:
        return None
    # Browsers take Latin-1 and ASCII for Windows' extension of them, and so do those who write pages.
    return Encoding("cp1252") if declared is not None and declared.name in ("iso8859-1", "ascii") else declared


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings about what is odd in a file from the user: it is converted all the same, or reported."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

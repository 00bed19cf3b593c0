"""Bytes into text: byte order marks, strict UTF-8, and a guess for files older than that."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from typing import BinaryIO

from minilm_retrieval.errors import DocumentError, InvalidOptionError

# The mark of UTF-32 begins with that of UTF-16, so it comes first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MARK = "\ufeff"
# What people's older files are in. Of guesses that fit equally well, the first is taken.
_WESTERN = "cp1252"
_LATIN = ["cp1250", "cp1254", "cp1257", "cp1258", "iso8859_2", "mac_roman"]
_MULTIBYTE = ["cp932", "gb18030", "big5", "cp949", "euc_jp"]
_OTHER_SCRIPTS = ["cp1251", "cp1253", "cp1255", "cp1256", "cp874", "koi8_r", "koi8_u", "cp866"]
_LATIN_SCRIPT = [_WESTERN, *_MULTIBYTE, *_LATIN]
_EVERY_SCRIPT = [_WESTERN, *_MULTIBYTE, *_OTHER_SCRIPTS, *_LATIN]
_WESTERN_SHARE = 0.3
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_WORD_OF_OTHER_SCRIPT = re.compile(rb"[\x80-\xff]{3}")
# How much more mess, and less of a language, the detector may see in a guess that still fits equally well. It takes
# short Western texts for Central European ones.
_EQUAL_MESS, _EQUAL_WESTERN_MESS, _EQUAL_COHERENCE = 0.01, 0.06, 0.05
# Control characters that no encoding of text here uses; tab, line ends, form feed, backspace, bell and escape it does.
_CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x19\x1c-\x1f]")
_SEARCHED_BYTES, _SAMPLE_BYTES = 1 << 20, 1 << 15


class NotTextError(DocumentError):
    """A file is binary, or in an encoding that nobody recognises."""


@dataclass(frozen=True)
class Encoding:
    """How a file's bytes stand for text.

    Attributes:
        name: Of a Python codec.
        guessed: Nothing in the file says so; it is what fits best.
    """

    name: str
    guessed: bool = False

    @property
    def metadata(self) -> dict[str, str]:
        """What a document says of it: the name where it is a guess."""
        return {"encoding": self.name} if self.guessed else {}


def checked_encoding(name: str) -> Encoding:
    """Return the encoding of this name.

    Raises:
        InvalidOptionError: Python has no text encoding of this name.
    """
    try:
        b"a".decode(name, "replace")
        return Encoding(codecs.lookup(name).name)
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidOptionError(
            f"encoding={name!r} is not a text encoding of Python; names are such as 'utf-8', 'cp1252', 'shift_jis'."
        ) from error


def find_encoding(data: bytes, whole: bool = True, declared: Encoding | None = None) -> Encoding:
    """Find out how bytes stand for text.

    A byte order mark decides; else what is UTF-8 is taken for that. Anything else is guessed.

    Args:
        data: A file's content, or the beginning of it.
        whole: Whether it is all of the content; else its last line is left out, since it may end within a character.
        declared: What the content says of itself, taken in place of a guess if it fits.

    Raises:
        NotTextError: It is not text, or of no known encoding.
        DocumentError: It is UTF-8 with damaged places, which a guess would turn into wrong letters throughout.
    """
    if not whole:
        data = data[: data.rfind(b"\n") + 1] or data
    for mark, name in _MARKS:
        if data.startswith(mark):
            return Encoding(name)
    check_no_zeros(data, Encoding("utf-8"))
    first_bad = _first_bad_byte(data, "utf-8", whole)
    if first_bad is None:
        return Encoding("utf-8")
    if declared is not None and _first_bad_byte(data, declared.name, whole) is None:
        return declared
    if _CONTROLS.search(data):
        raise NotTextError("is binary: it holds control characters and is not UTF-8")
    replaced = data.decode("utf-8", "replace")
    damaged = replaced.count("\ufffd")
    if sum(map(len, re.findall(r"[^\x00-\x7f\ufffd]+", replaced))) > damaged:
        raise DocumentError(f"is UTF-8 with {damaged} damaged places, the first at byte {first_bad}; repair it")
    for name in _guesses(_sample(data, first_bad)):
        if _first_bad_byte(data, name, whole) is None:
            return Encoding(name, guessed=True)
    raise NotTextError("is binary, or text in an unknown encoding")


def check_no_zeros(data: bytes, encoding: Encoding) -> None:
    """Refuse bytes that are no text, in an encoding in which text has no zero bytes.

    Raises:
        NotTextError: There are some.
    """
    if b"\0" in data and not encoding.name.startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
        raise NotTextError("is binary: it holds zero bytes")


def decode(data: bytes, encoding: Encoding) -> str:
    """Return all of a file as text, line ends as they are, without the byte order mark.

    Raises:
        DocumentError: Some bytes are not of this encoding; the message says where.
    """
    try:
        return data.decode(encoding.name).removeprefix(_MARK)
    except UnicodeDecodeError as error:
        raise _undecodable(encoding, error.start) from error


def decoded_lines(stream: BinaryIO, encoding: Encoding, newline: str) -> Iterator[str]:
    r"""Yield a file's lines as they are read, with their ends, without the byte order mark.

    Args:
        stream: The file, at its beginning; it stays open.
        encoding: Of its bytes.
        newline: ``"\n"`` to end lines there alone, ``""`` for ``"\r"`` and ``"\r\n"`` too; nothing is translated.

    Raises:
        DocumentError: Some bytes are not of this encoding; the message says where.
    """
    lines = TextIOWrapper(stream, encoding.name, newline=newline)
    try:
        for number, line in enumerate(lines):
            yield line if number else line.removeprefix(_MARK)
    except UnicodeDecodeError as error:
        raise _undecodable(encoding, stream.tell() - len(error.object) + error.start) from error
    finally:
        # Else it would close the stream, which is the caller's, whenever it is collected.
        if not stream.closed:
            lines.detach()


def _undecodable(encoding: Encoding, offset: int) -> DocumentError:
    return DocumentError(f"is not {encoding.name} at byte {offset}; give its encoding")


def _first_bad_byte(data: bytes, encoding: str, whole: bool) -> int | None:
    try:
        codecs.getincrementaldecoder(encoding)().decode(data, whole)
    except UnicodeDecodeError as error:
        return error.start
    return None


def _sample(data: bytes, first_bad: int) -> bytes:
    """Return some lines that tell encodings apart: those that are not ASCII, from the first bad byte on."""
    begin = data.rfind(b"\n", 0, first_bad) + 1
    sample = bytearray()
    for line in data[begin : begin + _SEARCHED_BYTES].split(b"\n"):
        if not line.isascii():
            if sample and len(sample) + len(line) > _SAMPLE_BYTES:
                break
            sample += line + b"\n"
    return bytes(sample)


def _guesses(sample: bytes) -> list[str]:
    """Return the encodings that fit a sample, the likeliest first."""
    from charset_normalizer import from_bytes

    known = _EVERY_SCRIPT if _WORD_OF_OTHER_SCRIPT.search(sample) else _LATIN_SCRIPT
    matches = from_bytes(sample, cp_isolation=known)
    best = matches.best()
    if best is None:
        # Of a few words, the detector takes a letter and a sign outside ASCII for a mess.
        return [_WESTERN] if len(_NOT_ASCII.findall(sample)) < _WESTERN_SHARE * len(sample) else []
    found = [(match, name) for match in matches for name in match.could_be_from_charset if name in known]
    # A text of few letters outside ASCII fits many encodings, and then the detector's order says little.
    equal = [
        name
        for match, name in found
        if match.chaos <= best.chaos + (_EQUAL_WESTERN_MESS if name == _WESTERN else _EQUAL_MESS)
        and match.coherence >= best.coherence - _EQUAL_COHERENCE
    ]
    return list(dict.fromkeys(sorted(equal, key=known.index) + [name for _, name in found]))

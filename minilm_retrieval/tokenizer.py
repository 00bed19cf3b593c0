"""Text to token ids, through the Rust ``tokenizers`` library.

The truncation and padding that a tokenizer file carries (128 in the published one, where the model's length is 256) are
switched off; the cut is made here, so that every token of every text is counted first and no cut goes unseen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence

from minilm_retrieval.errors import InvalidTextError, ModelIntegrityError, UnsupportedModelError
from minilm_retrieval.model_files import STANDARD_SHA256, TOKENIZER
from minilm_retrieval.word_ids import WordIds, splits_at_spaces

IntArray = npt.NDArray[np.int32]

# Of the published file, whose meaning need not be worked out anew in every process.
STANDARD_TOKENIZER_DIGEST = "01d99a8c677107f848f166301d825a98d0a1df21660a23d3422ba53e328af3b7"
STANDARD_LARGEST_ID = 30521

# In cuneiform.
_RARE_WORD = "\U00012000\U00012001"
_ID_BYTES = np.dtype(np.int32).itemsize


@dataclass(frozen=True)
class Tokens:
    """One text's token ids as the model sees them, and how many there were before the cut.

    Attributes:
        ids: Shape ``(n,)``, int32, special tokens included, at most the maximum length.
        untruncated_length: Tokens of the whole text, special tokens included.
    """

    ids: IntArray
    untruncated_length: int

    @classmethod
    def cut(cls, ids: Sequence[int] | IntArray, max_length: int, keep_end: bool = False) -> Tokens:
        """Cut token ids between the first and the last, which are special tokens: behind, or in front.

        Args:
            ids: Special tokens included.
            max_length: Most tokens that are kept.
            keep_end: Cut in front.
        """
        kept = np.asarray(ids, dtype=np.int32)
        if len(ids) > max_length:
            start = len(ids) - max_length + 1 if keep_end else 1
            kept = np.concatenate([kept[:1], kept[start : start + max_length - 2], kept[-1:]])
        return cls(kept, len(ids))

    @property
    def truncated(self) -> bool:
        """Whether the text's end was cut off."""
        return self.untruncated_length > len(self.ids)


@dataclass(frozen=True)
class Piece:
    """A token of a text.

    Attributes:
        id: Its number in the vocabulary.
        text: What it stands for in the text, or its name if it is a special token.
        place: Start and end in the text's UTF-8 bytes, ``None`` for a special token.
    """

    id: int
    text: str
    place: tuple[int, int] | None


class Tokenizer:
    """A model's own tokenizer, without the truncation and padding of its file.

    Texts are tokenised one by one in the calling thread: the parallel mode of the library starts as many threads as
    the machine has processors, whatever the process may use, and does not survive ``fork``.

    Attributes:
        special_tokens: How many are added to a text.
        largest_id: The largest id that a text may get; ids need not be without gaps.
        truncation_side: Where the file would cut long texts, ``"right"`` or ``"left"``.

    Args:
        file: A ``tokenizer.json``.
        lowercase: Lowercase first, as ``do_lower_case`` of ``sentence_bert_config.json`` asks.

    Raises:
        ModelIntegrityError: The file is not a tokenizer.
        UnsupportedModelError: It does not put exactly one special token before and one after a text, cannot tokenise
            every text, or has ids of more than 31 bits.
    """

    def __init__(self, file: Path, lowercase: bool = False) -> None:
        try:
            content = file.read_text(encoding="utf-8")
            tokenizer = RustTokenizer.from_str(content)
        except FileNotFoundError:
            raise UnsupportedModelError(f"{file.parent} has no {file.name}. Copy the model again.") from None
        except OSError:
            raise
        except Exception as error:
            raise ModelIntegrityError(f"{file} is not a readable tokenizer: {error}. Copy the model again.") from error
        self.truncation_side: str = (tokenizer.truncation or {}).get("direction", "right")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._normalizer = tokenizer.normalizer
        if lowercase:
            normalizers = [Lowercase()] + ([tokenizer.normalizer] if tokenizer.normalizer is not None else [])
            tokenizer.normalizer = NormalizerSequence(normalizers)
        specials, bare, whole = _probed(tokenizer, file)
        if len(specials) != 2 or whole != [specials[0], *bare, specials[1]]:
            raise UnsupportedModelError(
                f"{file} adds {len(specials)} special tokens to a text; this library expects one before and one after."
            )
        self._tokenizer = tokenizer
        self._content = content
        published = hashlib.sha256(content.encode("utf-8")).hexdigest() == STANDARD_SHA256[TOKENIZER]
        self._digest = STANDARD_TOKENIZER_DIGEST if published else None
        self._ids = WordIds(self._encode).encode if published or splits_at_spaces(content) else self._encode
        self.special_tokens = 2
        self.largest_id = STANDARD_LARGEST_ID if published else max(*tokenizer.get_vocab().values(), *specials)
        if self.largest_id > np.iinfo(np.int32).max:
            raise UnsupportedModelError(f"{file} has token ids up to {self.largest_id}; an id must fit into 31 bits.")
        self._first, self._last = _as_bytes(specials[:1]), _as_bytes(specials[1:])

    @property
    def vocabulary_size(self) -> int:
        """How many different token ids there are."""
        return int(self._tokenizer.get_vocab_size())

    def tokenize(self, text: str, max_length: int, keep_end: bool = False) -> Tokens:
        """Tokenise one text and cut it to ``max_length`` tokens, special tokens included: its end, or its beginning."""
        ids = np.frombuffer(self._first + self._ids(text) + self._last, dtype=np.int32)
        return Tokens.cut(ids, max_length, keep_end)

    def pieces(self, text: str, special_tokens: bool = True) -> list[Piece]:
        """Return the tokens of a whole text, each with its place in it."""
        text = well_formed(text)
        found = self._tokenizer.encode(text, add_special_tokens=special_tokens)
        bytes_before = list(accumulate((len(character.encode()) for character in text), initial=0))
        return [
            Piece(id, token, None) if special else Piece(id, text[start:end], (bytes_before[start], bytes_before[end]))
            for id, token, (start, end), special in zip(
                found.ids, found.tokens, found.offsets, found.special_tokens_mask, strict=True
            )
        ]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Return the text of token ids, as far as the tokens keep it."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def count(self, text: str) -> int:
        """Count a text's tokens before truncation, special tokens included."""
        return len(self._ids(text)) // _ID_BYTES + self.special_tokens

    def _encode(self, text: str) -> bytes:
        """Tokenise a whole text, without special tokens. The library keeps the interpreter locked meanwhile."""
        return _as_bytes(self._tokenizer.encode(well_formed(text), add_special_tokens=False).ids)

    def settings(self) -> dict[str, Any]:
        """Return the settings of the file besides its vocabulary, ``None`` for what its kind of vocabulary lacks."""
        model = self._tokenizer.model
        return {
            "normalizer": _settings_of(self._normalizer),
            "pre_tokenizer": _settings_of(self._tokenizer.pre_tokenizer),
            "continuing_subword_prefix": getattr(model, "continuing_subword_prefix", None),
            "max_input_chars_per_word": getattr(model, "max_input_chars_per_word", None),
        }

    def plain_settings(self) -> str:
        """Return the tokenizer as JSON, without truncation and padding, for libraries that load it themselves."""
        return str(self._tokenizer.to_str())

    def digest(self) -> str:
        """Return the SHA-256 of what decides the ids: the file without its truncation and padding settings."""
        if self._digest is None:
            self._digest = content_digest(self._content)
        return self._digest


def _probed(tokenizer: Any, file: Path) -> tuple[list[int], list[int], list[int]]:
    """Return the ids of no text, of a letter, and of the letter with special tokens."""
    try:
        # A word of no vocabulary, which needs the token for unknown ones.
        tokenizer.encode(_RARE_WORD)
        return tokenizer.encode("").ids, tokenizer.encode("a", add_special_tokens=False).ids, tokenizer.encode("a").ids
    except Exception as error:
        raise UnsupportedModelError(
            f"{file} cannot tokenise every text: {error}. Save the model again with its whole vocabulary."
        ) from error


def _settings_of(step: Any) -> dict[str, Any]:
    return {} if step is None else dict(json.loads(step.__getstate__()))


def _as_bytes(ids: Sequence[int]) -> bytes:
    return np.array(ids, dtype=np.int32).tobytes()


def content_digest(content: str) -> str:
    """Return the SHA-256 of a ``tokenizer.json``'s meaning, whatever its formatting, truncation and padding."""
    settings: dict[str, Any] = json.loads(content)
    deciding = {key: value for key, value in settings.items() if key not in ("truncation", "padding", "version")}
    canonical = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def well_formed(text: str) -> str:
    """Return the text with each lone surrogate, which no encoding can carry, replaced by U+FFFD.

    The length in characters stays the same, so offsets stay true.

    >>> well_formed("a" + chr(0xD800)) == "a" + chr(0xFFFD)
    True
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    return text


def check_text(text: str) -> str:
    """Return the text, having made sure that it is one.

    Raises:
        InvalidTextError: The message names the type of what is not a text.
    """
    if not isinstance(text, str):
        raise InvalidTextError(f"Expected one text, got {type(text).__name__}: {_shortened(text)}. It must be a str.")
    return text


def check_iterable(texts: object, expected: str) -> None:
    """Make sure that texts can be taken one after the other from something that is not a text.

    Args:
        texts: What was given.
        expected: What was asked for, for the message.

    Raises:
        InvalidTextError: It gives none, or something else: a mapping its keys, a table the names of its columns.
    """
    if not isinstance(texts, Iterable) or isinstance(texts, Mapping):
        raise InvalidTextError(f"Expected {expected}, got {type(texts).__name__}.")
    # An array without dimensions has the method of an iterable, and holds one item.
    dimensions = getattr(texts, "ndim", 1)
    if dimensions != 1:
        raise InvalidTextError(
            f"Expected {expected}, got {type(texts).__name__} of {dimensions} dimensions. Give one column of a table, "
            'such as df["text"].'
        )


def check_texts(texts: Sequence[str], offset: int = 0) -> list[str]:
    """Return the texts as a list, having made sure that each is a string.

    Args:
        texts: A sequence of texts; a bare string is refused, since it would be embedded letter by letter.
        offset: Position of the first text in a longer stream, for the message.

    Raises:
        InvalidTextError: The message names the position and the type of what is not a text.
    """
    if isinstance(texts, (str, bytes)):
        raise InvalidTextError(f"Expected a list of texts, got one {type(texts).__name__}. Put it in a list: [text].")
    check_iterable(texts, "a text or a list of texts")
    listed = list(texts)
    for position, text in enumerate(listed):
        if not isinstance(text, str):
            raise InvalidTextError(
                f"Expected text at position {position + offset}, got {type(text).__name__}: {_shortened(text)}. "
                "Every item must be a str."
            )
    return listed


def _shortened(value: object, limit: int = 60) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."

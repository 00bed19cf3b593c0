"""Text to token ids word by word, so that a word that was seen before costs a look-up.

Most words of a text are among few common ones, and where no token reaches across a space, a text's ids are those of its
words, whatever their neighbours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

# Between pieces of a long text, which take up to ten milliseconds each, other threads have their turn.
_PIECE = 16_384
# The tokenizer of BERT treats each of these characters as a word.
_CUT = re.compile("[ \n\t\u4e00-\u9fff\u3400-\u4dbf]")
# A tokenizer turns other white space into spaces, in its own added tokens too.
_IN_NO_TOKEN = re.compile(rf"\s|{_CUT.pattern}")
# Some 200 bytes each. What is longer is rarely a word, and seldom comes again.
_KNOWN_WORDS = 32_768
_LONGEST_WORD = 32

Encode = Callable[[str], bytes]


class WordIds:
    """Token ids as bytes of int32, so that joining those of words is a copy.

    Args:
        encode: Gives the ids of any text, without special tokens.
    """

    def __init__(self, encode: Encode) -> None:
        self._words = _KnownWords(encode)

    def encode(self, text: str) -> bytes:
        """Return the ids of a text, without special tokens."""
        if len(text) <= _PIECE:
            return self._encode_piece(text)
        return b"".join(map(self._encode_piece, _pieces(text)))

    def _encode_piece(self, text: str) -> bytes:
        # Only these: of what else Python takes for space, the tokenizer drops some, which joins what stands around it.
        words = text.replace("\n", " ").replace("\t", " ").split(" ")
        return b"".join(map(self._words.__getitem__, words))


class _KnownWords(dict[str, bytes]):
    """The ids of words, found out when first asked for."""

    def __init__(self, encode: Encode) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, word: str) -> bytes:
        ids = self._encode(word)
        if len(word) <= _LONGEST_WORD:
            # All at once: keeping the common ones would cost more than finding them out again.
            if len(self) >= _KNOWN_WORDS:
                self.clear()
            self[word] = ids
        return ids


def splits_at_spaces(content: str) -> bool:
    """Tell whether no token of a ``tokenizer.json`` reaches across a space or into a Chinese character."""
    settings = json.loads(content)
    added = [token.get("content", "") for token in settings.get("added_tokens") or []]
    normalizer, splitter = settings.get("normalizer") or {}, settings.get("pre_tokenizer") or {}
    standard = normalizer.get("handle_chinese_chars") and normalizer.get("clean_text")
    return bool(standard) and splitter.get("type") == "BertPreTokenizer" and not any(map(_IN_NO_TOKEN.search, added))


def _pieces(text: str) -> Iterator[str]:
    """Cut a text before spaces and Chinese characters, into pieces of about the same length as far as there are any."""
    start = 0
    while len(text) - start > _PIECE:
        end = max(text.rfind(space, start + 1, start + _PIECE) for space in " \n\t")
        if end < 0:
            cut = _CUT.search(text, start + max(1, _PIECE // 2))
            if cut is None:
                break
            end = cut.start()
        yield text[start:end]
        start = end
    yield text[start:]

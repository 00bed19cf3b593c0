"""A text is tokenised word by word only where no token reaches across a space."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as RustTokenizer

from minilm_retrieval.tokenizer import Tokenizer
from minilm_retrieval.word_ids import splits_at_spaces

SPACES = [character for character in map(chr, range(sys.maxunicode + 1)) if character.isspace()]


def with_added_token(directory: Path, content: str, normalized: bool) -> str:
    settings: dict[str, Any] = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    added = settings["added_tokens"]
    changes = {"id": 30522, "content": content, "special": False, "normalized": normalized}
    added.append(added[0] | changes)
    settings["truncation"] = settings["padding"] = None
    return json.dumps(settings)


def test_no_added_token_may_hold_white_space(standard_directory: Path) -> None:
    settings = json.loads(with_added_token(standard_directory, "word", True))
    settings["model"]["vocab"] = {}
    assert splits_at_spaces(json.dumps(settings))
    assert len(SPACES) > 20
    for space in SPACES:
        for content in (f"foo{space}bar", f"foo{space}", f"{space}foo"):
            settings["added_tokens"][-1]["content"] = content
            assert not splits_at_spaces(json.dumps(settings)), ascii(content)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("space", [" ", "\t", "\xa0", "\u2003", "\u2028", "\u3000"], ids=ascii)
def test_an_added_token_with_white_space_is_found(
    standard_directory: Path, tmp_path: Path, space: str, normalized: bool
) -> None:
    content = with_added_token(standard_directory, f"foo{space}bar", normalized)
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    tokenizer, whole = Tokenizer(tmp_path / "tokenizer.json"), RustTokenizer.from_str(content)
    found = set()
    for between in (" ", "\t", space):
        text = f"in foo{between}bar now"
        ids = whole.encode(text).ids
        found.add(30522 in ids)
        assert tokenizer.tokenize(text, 64).ids.tolist() == ids
    assert True in found

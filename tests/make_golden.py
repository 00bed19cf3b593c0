"""Make the vectors that sentence-transformers gives, to compare with.

Run ``python tests/make_golden.py MODEL_DIRECTORY`` with the published files of all-MiniLM-L6-v2. It writes
``data/golden.json``, texts of exact lengths, which are kept in the file so that the vectors can be compared on any
version of Python; and ``golden.npy`` of the engines' self-check.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LENGTHS = (127, 128, 129, 255, 256, 257, 512)
FILE = Path(__file__).parent / "data" / "golden.json"


def text_of_length(tokenizer: Any, corpus: str, tokens: int, start: int) -> str:
    """Return a passage of exactly so many tokens, the two special ones included, that begins at a word."""
    begin = corpus.index(" ", start) + 1
    end = begin
    while True:
        end = corpus.find(" ", end + 1)
        text = corpus[begin:end].strip()
        count = len(tokenizer(text, truncation=False)["input_ids"])
        if count == tokens:
            return text
        if count > tokens:
            begin = end = corpus.index(" ", begin) + 1


def main(directory: str) -> None:
    from pydoc_data.topics import topics

    import numpy
    import sentence_transformers
    import torch
    import transformers

    from minilm_retrieval.engines import self_check

    model = sentence_transformers.SentenceTransformer(directory, device="cpu", local_files_only=True)
    assert model.max_seq_length == 256
    corpus = " ".join(" ".join(topics[name].split()) for name in sorted(topics))
    entries = []
    for number, tokens in enumerate(LENGTHS):
        text = text_of_length(model.tokenizer, corpus, tokens, 50_000 * number)
        vector = model.encode([text])[0]
        entries.append({"tokens": tokens, "text": text, "vector": [float(f"{value:.9g}") for value in vector]})
    content = {
        "made_with": {
            "model": "sentence-transformers/all-MiniLM-L6-v2",
            "sentence-transformers": sentence_transformers.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "max_seq_length": model.max_seq_length,
        },
        "entries": entries,
    }
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    model.max_seq_length = self_check.MAX_TOKENS
    numpy.save(self_check.GOLDEN, model.encode(list(self_check.TEXTS)))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""In an environment with the wheel and one extra: its integration works, and the others name theirs.

Run by ``make wheel``: python check_wheel.py EXTRA
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

PACKAGES = {
    "chroma": ("chroma_minilm", lambda module: module.MiniLMEmbeddingFunction()(["a text"])[0].tolist()),
    "langchain": ("langchain_minilm", lambda module: module.MiniLMEmbeddings().embed_query("a text")),
    "llama-index": ("llama_index_minilm", lambda module: module.MiniLMEmbedding().get_query_embedding("a text")),
}


def main(extra: str) -> None:
    """Import everything, and embed with the package of the extra."""
    from minilm_retrieval import MiniLMEmbedder
    from minilm_retrieval.errors import MissingExtraError

    assert importlib.util.find_spec("torch") is None
    expected = MiniLMEmbedder().encode("a text")
    for name, (package, embed) in PACKAGES.items():
        assert importlib.util.find_spec(package) is not None, f"the wheel lacks {package}"
        if name == extra:
            assert abs(expected - embed(importlib.import_module(package))).max() <= 1e-6
            continue
        try:
            importlib.import_module(package)
        except MissingExtraError as error:
            assert f"[{name}]" in str(error)
    print(f"The wheel works with [{extra}].")


if __name__ == "__main__":
    main(sys.argv[1])

"""In an environment with the wheel and one extra, its integration and the command work, and the others name theirs.

Run by ``make wheel``: python check_wheel.py EXTRA
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

PACKAGES = {
    "chroma": ("chroma_minilm", lambda module: module.MiniLMEmbeddingFunction()(["a text"])[0].tolist()),
    "langchain": ("langchain_minilm", lambda module: module.MiniLMEmbeddings().embed_query("a text")),
    "llama-index": ("llama_index_minilm", lambda module: module.MiniLMEmbedding().get_query_embedding("a text")),
}


def served(text: str) -> list[float]:
    """Return the vector that a server of this environment gives for a text."""
    command = [sys.executable, "-m", "minilm_retrieval", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = next(line.split()[1] for line in process.stderr if line.startswith("Serving "))
        body = json.dumps({"input": text, "model": "any"}).encode()
        with urllib.request.urlopen(f"{address}/embeddings", body, timeout=60) as answer:
            vector: list[float] = json.load(answer)["data"][0]["embedding"]
        process.terminate()
    assert process.returncode == 0
    return vector


def written(text: str) -> Any:
    """Return the vector that the command writes for a text."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vector.npy")
        subprocess.run([sys.executable, "-m", "minilm_retrieval", "embed", text, "-o", file], check=True)
        return np.load(file)[0]


def main(extra: str) -> None:
    """Import everything, and embed with the package of the extra."""
    from minilm_retrieval import MiniLMEmbedder
    from minilm_retrieval.errors import MissingExtraError

    assert importlib.util.find_spec("torch") is None
    expected = MiniLMEmbedder().encode("a text")
    assert abs(expected - written("a text")).max() <= 1e-6
    for name, (package, embed) in PACKAGES.items():
        assert importlib.util.find_spec(package) is not None, f"the wheel lacks {package}"
        if name == extra:
            assert abs(expected - embed(importlib.import_module(package))).max() <= 1e-6
            continue
        try:
            importlib.import_module(package)
        except MissingExtraError as error:
            assert f"[{name}]" in str(error)
    if extra == "server":
        assert abs(expected - served("a text")).max() <= 1e-6
    print(f"The wheel works with [{extra}] on Python {platform.python_version()}.")


if __name__ == "__main__":
    main(sys.argv[1])

"""Each example of a client runs as it stands against a running server, and prints something worth reading."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cl100k import cl100k_cache
from running import running_server
from stores import TOPICS
from subprocesses import clean_environment

from minilm_retrieval import Document, MiniLMEmbedder, index_documents, open_collection

CLIENTS = Path(__file__).parents[2] / "examples" / "clients"
NODE = CLIENTS / "node"

Run = Callable[..., list[str]]


@pytest.fixture(scope="module")
def run(standard_directory: Path, embedder: MiniLMEmbedder, tmp_path_factory: Any) -> Iterator[Run]:
    """Runs a command where a server with a collection is, and returns the lines that it prints."""
    path = tmp_path_factory.mktemp("chroma")
    collection = open_collection("docs", path=path, create=True, embedder=embedder)
    index_documents(collection, [Document(f"{text.split()[1]}.txt", text) for text in TOPICS], embedder)
    with running_server("--path", str(path)) as server:
        environment = clean_environment(
            {"MINILM_URL": f"{server.url}/v1", "TIKTOKEN_CACHE_DIR": str(cl100k_cache()), "NO_PROXY": "127.0.0.1"}
        )

        def run(*command: str) -> list[str]:
            done = subprocess.run(
                command, env=environment, cwd=path, capture_output=True, text=True, encoding="utf-8", timeout=120
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.splitlines()

        yield run


def run_python(run: Run, name: str, *arguments: str) -> list[str]:
    return run(sys.executable, str(CLIENTS / name), *arguments)


@pytest.mark.parametrize(
    "name", ["langchain_embeddings.py", "llama_index_openai_like.py", "chroma_openai.py", "chroma_hf_server.py"]
)
def test_of_frameworks(name: str, run: Run) -> None:
    lines = run_python(run, name)
    assert len(lines) == 2
    assert re.fullmatch(r"cosine 0\.58\d  (cat: )?Cats sleep for most of the day\.", lines[0])
    assert re.match(r"cosine -?0\.[01]\d\d  ", lines[1])


def test_openai_sync(run: Run) -> None:
    assert_compared(run_python(run, "openai_sync.py"))


def assert_compared(lines: list[str]) -> None:
    assert [re.sub(r"\d\d  ", "..  ", line) for line in lines] == [
        "cosine 0.5..  Cats sleep for most of the day.",
        "cosine 0.0..  The stock market fell on Monday.",
        "28 tokens",
    ]


def test_openai_async(run: Run) -> None:
    (line,) = run_python(run, "openai_async.py")
    assert re.fullmatch(r"32 vectors of 384 numbers in \d\.\d\d s", line)


def test_vector_store_search(run: Run) -> None:
    lines = run_python(run, "vector_store_search.py", "docs", "Which pet purrs?")
    assert lines[0] == "10 passages in docs"
    assert lines[1].endswith(f"  cat.txt: {TOPICS[0]}")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(run: Run) -> None:
    models, vector, similarity = run("sh", str(CLIENTS / "curl.sh"))
    assert '"id":"all-MiniLM-L6-v2"' in models
    assert vector.startswith('{"object":"list","data":[{"object":"embedding","index":0,"embedding":[')
    assert re.fullmatch(r"\[0\.58\d*,-?0\.[01]\d*\]", similarity)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
@pytest.mark.skipif(not (NODE / "node_modules" / "openai").is_dir(), reason=f"npm install was not run in {NODE}")
def test_node(run: Run) -> None:
    assert_compared(run("node", str(NODE / "index.mjs")))


def test_every_example_is_tested() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    files = [file.name for file in CLIENTS.iterdir() if file.is_file()]
    assert [name for name in files if f'"{name}"' not in source] == []

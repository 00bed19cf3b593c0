"""What an import and a first vector load, in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from subprocesses import run_python

HEAVY = {"torch", "transformers", "sentence_transformers", "chromadb", "onnxruntime", "sklearn", "pandas", "rich"}
HEAVY_PREFIXES = ("langchain", "llama_index", "langsmith")

REPORT = "\nimport json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded_by(script: str) -> set[str]:
    return set(json.loads(run_python(script + REPORT).splitlines()[-1]))


def heavy(modules: set[str]) -> set[str]:
    return {name for name in modules if name in HEAVY or name.startswith(HEAVY_PREFIXES)}


@pytest.mark.parametrize(
    "script",
    [
        "import minilm_retrieval",
        "from minilm_retrieval import MiniLMEmbedder",
        "from minilm_retrieval import MiniLMEmbedder\nassert MiniLMEmbedder().encode('text').shape == (384,)",
        "from minilm_retrieval import MiniLMEmbedder\nprint(MiniLMEmbedder().fingerprint, MiniLMEmbedder().threads)",
    ],
    ids=["package", "embedder", "encode", "facts"],
)
def test_nothing_heavy_is_loaded(script: str) -> None:
    assert heavy(loaded_by(script)) == set()


def test_the_bare_import_loads_no_runtime() -> None:
    assert loaded_by("import minilm_retrieval") & {"openvino", "numpy", "tokenizers", "huggingface_hub"} == set()


def test_a_heavy_import_is_noticed() -> None:
    """The tests above can fail."""
    pytest.importorskip("torch")
    assert "torch" in heavy(loaded_by("import minilm_retrieval, torch"))


def test_constructing_opens_nothing() -> None:
    output = run_python(
        """
        import os, sys
        from minilm_retrieval import MiniLMEmbedder
        opened = []
        def note(event, arguments):
            if event == "open" and not str(arguments[0]).endswith((".py", ".pyc", ".so")):
                opened.append(arguments[0])
        sys.addaudithook(note)
        MiniLMEmbedder()
        MiniLMEmbedder("somebody/their-model", max_seq_length=128, normalize=False)
        MiniLMEmbedder(backend="torch", device="cuda:1")
        MiniLMEmbedder(os.path.expanduser("~"))
        print(opened)
        """
    )
    assert output.strip() == "[]"


def test_without_torch_the_torch_engine_names_the_extra() -> None:
    output = run_python(
        """
        import sys
        sys.modules["torch"] = None
        from minilm_retrieval import MiniLMEmbedder
        from minilm_retrieval.errors import MissingExtraError
        assert MiniLMEmbedder().encode("text").shape == (384,)
        try:
            MiniLMEmbedder(backend="torch").encode("text")
        except MissingExtraError as error:
            print(error)
        """
    )
    assert 'pip install "minilm-retrieval[torch]"' in output


IMPORT_CHROMA = """
import sys
if len(sys.argv) > 1:
    sys.path.insert(0, sys.argv[1])
else:
    sys.modules["chromadb"] = None
from minilm_retrieval.store.client import chroma
for use in (chroma, lambda: __import__("chroma_minilm")):
    try:
        use()
    except ImportError as error:
        print(type(error).__name__, error)
"""


def test_without_chromadb_the_extra_is_named() -> None:
    lines = run_python(IMPORT_CHROMA).splitlines()
    assert len(lines) == 2
    assert all(line.startswith("MissingExtraError chromadb is needed") for line in lines)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("import a_package_it_needs", "ModuleNotFoundError No module named 'a_package_it_needs'"),
        ("raise ImportError('libstdc++.so.6: too old')", "ImportError libstdc++.so.6: too old"),
    ],
)
def test_a_chromadb_that_cannot_be_imported_is_not_called_missing(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "chromadb").mkdir()
    (tmp_path / "chromadb" / "__init__.py").write_text(line)
    assert run_python(IMPORT_CHROMA, str(tmp_path)).splitlines() == [told] * 2

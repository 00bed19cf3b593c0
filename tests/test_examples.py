"""Each example runs as it stands and prints something worth reading."""

from __future__ import annotations

import re
from pathlib import Path

from subprocesses import run_python

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(name: str, folder: Path, *arguments: str, before: str = "") -> str:
    script = f"import os, runpy\n{before}\nos.chdir({str(folder)!r})\n"
    return run_python(f"{script}runpy.run_path({str(EXAMPLES / name)!r}, run_name='__main__')", *arguments)


# `make demo` has all of the reference.
SHORT_TOPICS = """
import pydoc_data.topics as source
source.topics = {topic: text for topic, text in source.topics.items() if len(text) < 2500}
"""


def test_python_reference(tmp_path: Path) -> None:
    question = ("What", "does", "the", "else", "of", "a", "loop", "do?")
    first = run_example("python_reference.py", tmp_path, *question, before=SHORT_TOPICS)
    assert "topics of the Python language reference" in first
    assert "Question: What does the else of a loop do?" in first
    assert "1. cosine 0." in first
    assert "break" in first
    again = run_example("python_reference.py", tmp_path, before=SHORT_TOPICS)
    assert "Indexed 0 topics of the Python language reference as 0 passages" in again


def test_chroma_collection(tmp_path: Path) -> None:
    output = run_example("chroma_collection.py", tmp_path)
    assert output.startswith("tea      cosine 0.7")


def test_langchain_rag(tmp_path: Path) -> None:
    output = run_example("langchain_rag.py", tmp_path)
    assert re.search(r"cosine 0\.\d{3}  break", output)
    assert "Answer: The else clause is skipped" in output


def test_llama_index_query_engine(tmp_path: Path) -> None:
    output = run_example("llama_index_query_engine.py", tmp_path)
    assert output.count("  cosine 0.") == 3
    assert "   | Context information is below." in output


def test_migrate_default_collection(tmp_path: Path) -> None:
    opened, copied = run_example("migrate_default_collection.py", tmp_path).splitlines()
    assert copied.startswith("Copied, 4 of 4:")
    assert opened.partition("cosine")[2] == copied.partition("cosine")[2]
    assert opened.endswith("The spacecraft entered orbit around Mars.")


def test_evaluate_with_mteb(tmp_path: Path) -> None:
    output = run_example("evaluate_with_mteb.py", tmp_path)
    lines = [line.rpartition(": ")[0] for line in output.splitlines()]
    names = ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2-int8")
    assert lines == [f"minilm-retrieval/{name}  {task}" for name in names for task in ("SmallSTS", "SmallRetrieval")]
    assert all(float(line.rpartition(": ")[2]) > 0.8 for line in output.splitlines())


def test_cluster_topics(tmp_path: Path) -> None:
    *clusters, written, first, second = run_example("cluster_topics.py", tmp_path).splitlines()
    assert sorted(line.partition(",")[0] for line in clusters) == [
        f"4 questions: {topic}" for topic in ("invoice", "parcel", "password")
    ]
    assert written == "12 records now have the fields topic and topic_name."
    assert "The parcel arrived damaged." in first
    assert all(line.startswith("In 'parcel") for line in (first, second))


def test_every_example_is_tested() -> None:
    source = Path(__file__).read_text()
    assert [file.name for file in EXAMPLES.glob("*.py") if f'"{file.name}"' not in source] == []


def test_keep_a_folder_indexed(tmp_path: Path) -> None:
    lines = run_example("keep_a_folder_indexed.py", tmp_path).splitlines()
    told = dict(re.split(r":\s+", line, maxsplit=1) for line in lines)
    assert told == {
        "First": "3 added, 0 updated, 0 unchanged, 0 deleted; 3 passages written",
        "Again": "0 added, 0 updated, 3 unchanged, 0 deleted; 0 passages written",
        "Changed": "0 added, 1 updated, 1 unchanged, 1 deleted; 1 passages written",
        "Verified": "sound True, 2 texts embedded again",
        "Described": "bread.md 1, tea.md 1",
        "Moved": "2 records exported, 2 imported",
        "Anew": "2 records embedded in int8",
        "Found": told["Found"],
    }
    assert re.fullmatch(r"0\.\d\d tea\.md", told["Found"])

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minilm_retrieval.ingest import Document, Failure, load_documents


def load(*paths: Path, text_field: str = "text") -> tuple[list[Document], list[Failure]]:
    loaded = list(load_documents(paths, text_field))
    documents = [item for item in loaded if isinstance(item, Document)]
    return documents, [item for item in loaded if isinstance(item, Failure)]


def write(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.markdown", "a.rst", "A.TXT"])
def test_text_files_are_one_document_each(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / name, "\ufeffzwölf\r\nline two\n")
    documents, failures = load(file)
    assert documents == [Document(str(file.resolve()), "zwölf\r\nline two\n")]
    assert failures == []


def test_folders_are_read_recursively_in_order_without_hidden_entries(tmp_path: Path) -> None:
    for name in ("b/z.txt", "b/a.md", "a.txt", ".hidden.txt", ".git/x.txt", "b/picture.png", "c.csv"):
        write(tmp_path / name, "text\nvalue\n")
    documents, failures = load(tmp_path)
    relative = [Path(document.id.split("#")[0]).relative_to(tmp_path.resolve()).as_posix() for document in documents]
    assert relative == ["a.txt", "c.csv", "b/a.md", "b/z.txt"]
    assert failures == []


def test_jsonl_gives_a_document_a_line(tmp_path: Path) -> None:
    lines = '{"_id": "x1", "text": "one", "year": 1999}\n\n{"text": "two\\u2028three", "id": 7}\n{"text": "four"}\n'
    documents, failures = load(write(tmp_path / "a.jsonl", lines))
    source = str((tmp_path / "a.jsonl").resolve())
    assert documents == [
        Document(f"{source}#x1", "one", {"year": 1999}),
        Document(f"{source}#7", "two\u2028three"),
        Document(f"{source}#4", "four"),
    ]
    assert failures == []


def test_csv_gives_a_document_a_row(tmp_path: Path) -> None:
    content = 'id,text,topic\na,"one, with a comma\nand a line",x\nb,two,\n'
    documents, _ = load(write(tmp_path / "a.csv", content))
    source = str((tmp_path / "a.csv").resolve())
    assert documents == [
        Document(f"{source}#a", "one, with a comma\nand a line", {"topic": "x"}),
        Document(f"{source}#b", "two", {"topic": ""}),
    ]


def test_text_field_has_another_name(tmp_path: Path) -> None:
    documents, _ = load(write(tmp_path / "a.jsonl", '{"body": "one", "text": "meta"}'), text_field="body")
    assert (documents[0].text, documents[0].metadata) == ("one", {"text": "meta"})


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"\xff\xfe\x00", "zero bytes"),
        ("a.txt", b"caf\xe9", r"not UTF-8 \(byte 3\)"),
        ("a.jsonl", '{"text": "fine"}\n{broken\n', "#2.*is not JSON"),
        ("a.jsonl", '{"text": "fine"}\n[1]\n', "#2.*is a list, expected an object"),
        ("a.jsonl", '{"text": "fine"}\n{"txt": "x"}\n', "#2.*no text in the field 'text'; its fields are txt"),
        ("a.csv", "text,a\nfine,1\nx,1,2\n", "#3.*more fields than the header"),
        ("a.csv", "body\nx\n", "no text in the field 'text'; its fields are body"),
        ("a.csv", 'text\nfine\n"x" y\n', "is not CSV"),
    ],
)
def test_bad_records_are_reported_and_the_rest_is_read(tmp_path: Path, name: str, content: str, reason: str) -> None:
    good = write(tmp_path / "z.txt", "good")
    bad = write(tmp_path / name, content)
    documents, failures = load(bad, good)
    assert documents[-1].text == "good"
    assert len(failures) == 1
    assert re.search(reason, f"{failures[0].source} {failures[0].reason}")
    assert ("fine" in str(content)) == ("fine" in [document.text for document in documents])


def test_missing_and_unknown_files_are_reported(tmp_path: Path) -> None:
    _, failures = load(tmp_path / "none.txt", write(tmp_path / "a.pdf", "x"))
    assert [failure.reason.split(";")[0] for failure in failures] == [
        "no such file or folder",
        "files ending in .pdf are not read",
    ]

from __future__ import annotations

import csv
import os
import re
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.ingest import Document, Failure, Skipped, load_documents
from minilm_retrieval.ingest.loading.readers import read_file
from minilm_retrieval.ingest.loading.walk import SourceFile


def load(*paths: Path, **options: Any) -> tuple[list[Document], list[Failure]]:
    loaded = list(load_documents(paths, **options))
    documents = [item for item in loaded if isinstance(item, Document)]
    return documents, [item for item in loaded if isinstance(item, Failure)]


def write(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("name", ["a.txt", "a.text", "a.rst", "A.TXT", "a.md", "a.markdown", "a.py", "LICENSE"])
def test_text_files_are_one_document_each(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / name, "\ufeffzwölf\r\nline two\rthree\u2028\n")
    documents, failures = load(file)
    markdown = name in ("a.md", "a.markdown")
    text = "zwölf\r\nline two\rthree\u2028\n"
    assert documents == [Document(str(file.resolve()), text, {}, "markdown" if markdown else "text")]
    assert failures == []


def test_jsonl_gives_a_document_a_line(tmp_path: Path) -> None:
    lines = '{"_id": "x1", "text": "one", "year": 1999}\n\n{"text": "two\\u2028three", "id": 7}\r\n{"text": "\u2028"}\n'
    documents, failures = load(write(tmp_path / "a.jsonl", lines))
    source = str((tmp_path / "a.jsonl").resolve())
    assert documents == [
        Document(f"{source}#x1", "one", {"year": 1999}),
        Document(f"{source}#7", "two\u2028three"),
        Document(f"{source}#line-4", "\u2028"),
    ]
    assert failures == []


def test_other_fields_of_a_record_are_its_metadata_as_they_are(tmp_path: Path) -> None:
    content = '{"text": "one", "none": null, "nested": {"a": [1, "b"]}, "n": 1.5, "encoding": "mine"}'
    documents, _ = load(write(tmp_path / "a.ndjson", content))
    assert documents[0].metadata == {"none": None, "nested": {"a": [1, "b"]}, "n": 1.5, "encoding": "mine"}


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t")])
def test_csv_gives_a_document_a_row(tmp_path: Path, name: str, delimiter: str) -> None:
    content = '\ufeffid,text,topic\r\na,"one,\twith both\r\nand a line",x\r\n\r\nb,two,\r\n,three,y\r\nd,four\r\n'
    if delimiter == "\t":
        content = content.replace(",\t", "\0").replace(",", "\t").replace("\0", ",\t")
    documents, failures = load(write(tmp_path / name, content))
    source = str((tmp_path / name).resolve())
    assert documents == [
        Document(f"{source}#a", "one,\twith both\r\nand a line", {"topic": "x"}),
        Document(f"{source}#b", "two", {"topic": ""}),
        Document(f"{source}#line-6", "three", {"topic": "y"}),
        Document(f"{source}#d", "four", {"topic": None}),
    ]
    assert failures == []


def test_csv_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    documents, failures = load(write(tmp_path / "a.csv", ",text,,topic\n0,one,,x\n1,two,,y,,\n"))
    assert [(document.text, document.metadata) for document in documents] == [
        ("one", {"topic": "x"}),
        ("two", {"topic": "y"}),
    ]
    assert failures == []


def test_csv_fields_may_be_long_and_the_limit_of_others_stays(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    long = "word " * 100_000
    assert len(long) > limit
    for document in load_documents([write(tmp_path / "a.csv", f"text\n{long}\nshort\n")]):
        assert isinstance(document, Document)
        assert document.text in (long, "short")
        assert csv.field_size_limit() == limit


def test_text_field_has_another_name(tmp_path: Path) -> None:
    documents, _ = load(write(tmp_path / "a.jsonl", '{"body": "one", "text": "meta"}'), text_field="body")
    assert (documents[0].text, documents[0].metadata) == ("one", {"text": "meta"})


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"\xff\xfe\x00", "is not utf-16-le at byte 2"),
        ("a.txt", b"PK\x03\x04\x00", "a.txt is binary: it holds zero bytes"),
        ("a.jsonl", b'{"text": "fine"}\n\0', "a.jsonl is binary"),
        ("a.jsonl", '{"text": "fine"}\n{broken\n', "line 2 .*is not JSON"),
        ("a.jsonl", '{"text": "fine"}\n' + "[" * 200_000 + "\n", "line 2 .*is not JSON.*recursion"),
        ("a.jsonl", '{"text": "fine"}\n[1]\n', "line 2 .*is a list, expected an object"),
        ("a.jsonl", '{"text": "fine"}\n{"txt": "x"}\n', "line 2 .*no text in the field 'text'; its fields are 'txt'$"),
        ("a.jsonl", '{"text": "fine"}\n{"text": null}\n', "line 2 .*no text in the field 'text'; it is empty$"),
        (
            "a.jsonl",
            '{"text": "fine"}\n{"text": 5}\n',
            "line 2 has no text in the field 'text'; it is int, expected str$",
        ),
        ("a.csv", "text,a\nfine,1\nx,1,2\n", "line 3 has more fields than the header: '2'$"),
        ("a.csv", "body\nx\ny\n", "a.csv has no column 'text'; its columns are 'body'$"),
        (
            "a.csv",
            "some prose, " * 1000,
            r"a.csv has no column 'text'; its columns are 'some prose',.{100,200} \.\.\.$",
        ),
        ("a.csv", "text,a,a\nx,1,2\n", "a.csv has several columns of the name 'a'"),
        ("a.csv", 'text\nfine\n"x" y\n', "a.csv is not CSV"),
    ],
)
def test_bad_records_are_reported_and_the_rest_is_read(
    tmp_path: Path, name: str, content: str | bytes, reason: str
) -> None:
    good = write(tmp_path / "z.txt", "good")
    bad = write(tmp_path / name, content)
    documents, failures = load(bad, good)
    assert documents[-1].text == "good"
    assert len(failures) == 1
    assert re.search(reason, f"{failures[0].source} {failures[0].reason}")
    assert "\n" not in failures[0].reason
    assert ("fine" in str(content) and "binary" not in reason) == ("fine" in [document.text for document in documents])


def test_an_empty_file_is_no_failure(tmp_path: Path) -> None:
    files = [write(tmp_path / name, "") for name in ("a.txt", "b.csv", "c.jsonl")]
    documents, failures = load(*files)
    assert documents == [Document(str(files[0].resolve()), "")]
    assert failures == []


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_records_are_read_as_they_come(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"a.{kind}"
    row = {"jsonl": '{"text": "%s"}\n', "csv": "%s\n"}[kind] % ("x" * 1000)
    with file.open("w") as stream:
        stream.write("text\n" if kind == "csv" else "")
        stream.writelines(row for _ in range(20_000))
    documents = load_documents([file])
    next(documents)
    tracemalloc.start()
    try:
        assert sum(1 for _ in documents) == 19_999
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_a_file_that_goes_after_it_was_listed_is_reported(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        write(tmp_path / name, name)
    loaded = load_documents([tmp_path])
    next(loaded)
    (tmp_path / "b.txt").unlink()
    assert next(loaded) == Failure(str((tmp_path / "b.txt").resolve()), "No such file or directory")
    assert isinstance(next(loaded), Document)


@pytest.mark.skipif(sys.platform == "win32", reason="folders and pipes cannot be opened")
@pytest.mark.parametrize("replace", [os.mkdir, os.mkfifo])
def test_what_takes_the_place_of_a_file_does_not_block(tmp_path: Path, replace: Callable[[Path], None]) -> None:
    replace(tmp_path / "a.txt")
    found: list[Any] = []
    file = SourceFile(str(tmp_path / "a.txt"), "a.txt")
    reading = threading.Thread(target=lambda: found.extend(read_file(file, "text", None)), daemon=True)
    reading.start()
    reading.join(10)
    assert found == [Failure("a.txt", "is not a regular file")]


def test_what_a_folder_holds_beside_text_is_skipped_and_named_files_fail(tmp_path: Path) -> None:
    binary = write(tmp_path / "a.txt", b"\0\1\2")
    picture = write(tmp_path / "b.png", b"\x89PNG\0")
    skipped = list(load_documents([tmp_path]))
    assert skipped == [
        Skipped(str(binary.resolve()), "is binary: it holds zero bytes"),
        Skipped(str(picture.resolve()), "files ending in .png are not read"),
    ]
    assert [type(item) for item in load_documents([binary, picture])] == [Failure, Failure]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "base64"}, "encoding='base64' is not a text encoding"),
        ({"encoding": "utf-99"}, "encoding='utf-99' is not a text encoding"),
        ({"encoding": 7}, "encoding=7 is not a text encoding"),
        ({"include": ["*.py", "!"]}, "include has the pattern '!'"),
        ({"include": "*.py"}, "include must be a list, got '\\*.py'"),
        ({"exclude": ["# x"]}, "exclude has the pattern '# x'"),
        ({"exclude": [""]}, "exclude has the pattern ''"),
    ],
)
def test_options_are_checked_at_once(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        load_documents([tmp_path], **options)


def test_a_path_alone_is_no_list_of_paths(tmp_path: Path) -> None:
    for path in (tmp_path, str(tmp_path)):
        with pytest.raises(InvalidOptionError, match="paths must be a list"):
            load_documents(path)  # type: ignore[arg-type]

"""Files of records that evaluation reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.evaluation.records import id_in, read_records, text_in


def write(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.tsv", 'a\tb\n"x" said\t"y\n', [(2, {"a": '"x" said', "b": '"y'})]),
        ("a.csv", 'a,b\n"x ""q""\nline",y\nz,\n', [(3, {"a": 'x "q"\nline', "b": "y"}), (4, {"a": "z", "b": ""})]),
        ("a.jsonl", '{"a": "x"}\n\n{"a": 1}\n', [(1, {"a": "x"}), (3, {"a": 1})]),
        ("a.TSV", b"\xef\xbb\xbfa\tb\r\nx\t\xc3\xa9\r\n", [(2, {"a": "x", "b": "é"})]),
        ("a.csv", "a,b\ncafé,1\n".encode("cp1252"), [(2, {"a": "café", "b": "1"})]),
    ],
)
def test_records(tmp_path: Path, name: str, content: str | bytes, expected: Any) -> None:
    assert list(read_records(write(tmp_path, name, content))) == expected


def test_the_encoding_may_be_given(tmp_path: Path) -> None:
    file = write(tmp_path, "a.csv", "a\nж\n".encode("koi8_r"))
    assert list(read_records(file, "koi8_r")) == [(2, {"a": "ж"})]
    with pytest.raises(InvalidOptionError, match="latin-9000"):
        list(read_records(file, "latin-9000"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "x", r"a.txt: expected records, in a file that ends in .jsonl, .csv or .tsv"),
        ("a.tsv", "a\tb\nx\n", r"a.tsv: line 2 has fewer fields than the header: 'a', 'b'"),
        ("a.tsv", "a\tb\nx\ty\tz\n", "line 2 has more fields than the header: 'z'"),
        ("a.csv", 'a,b\n"x",y\n"open,y\n', "is not CSV near line 2: unexpected end of data"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "line 2 is a list, expected an object"),
        ("a.jsonl", '{"a": 1}\n{"a"\n', "line 2 is not JSON"),
        ("a.jsonl", b'{"a": "\x00\x01"}', "binary"),
    ],
)
def test_what_is_no_record_is_said_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DocumentError, match=message):
        list(read_records(write(tmp_path, name, content)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"none\.tsv: .*No such file"):
        list(read_records(tmp_path / "none.tsv"))


def test_fields() -> None:
    assert id_in({"_id": 7}, "_id", "f", 1) == "7"
    for value in ("", None, 1.5, True):
        with pytest.raises(DocumentError, match=r"f: line 3 has no id in the field '_id'; its fields are '_id'"):
            id_in({"_id": value}, "_id", "f", 3)
    assert text_in({"text": ""}, "text", "f", 1) == ""
    with pytest.raises(DocumentError, match=r"f: line 3 has no text in the field 'text'; its fields are 'txt'"):
        text_in({"txt": "x"}, "text", "f", 3)

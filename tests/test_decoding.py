from __future__ import annotations

import codecs
import gc
import random
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest

from minilm_retrieval.errors import DocumentError
from minilm_retrieval.ingest import Document, Failure, Skipped, load_documents
from minilm_retrieval.ingest.loading.decoding import (
    Encoding,
    NotTextError,
    checked_encoding,
    decode,
    decoded_lines,
    find_encoding,
)

TEXT = "Zwölf Boxkämpfer – 十二 🥊\r\nkämpfen\n"
SENTENCES = {
    "cp1252": [
        "café",
        "naïve café",
        "André Müller",
        "café €",
        "Größe",
        "Le café est très bon, mais l’été dernier il était fermé.",
        "Die Straße führt über die Brücke zum Schloß; schöne Grüße aus Köln.",
        "A informação não está disponível; você é o próximo cidadão.",
        "It’s a “quoted” sentence – with a dash.",
        "Copyright © 2001 by Someone. All rights reserved.",
        "It was 25°C outside, ±2, and cost £5.",
        "One odd letter: é. " + "A long English text with no other one. " * 3000,
        "A long English text with no odd letter but the last. " * 3000 + "café\n",
    ],
    "cp1251": ["Съешь же ещё этих мягких французских булок, да выпей чаю.", "Это русский текст.", "Привет, мир"],
    "koi8_r": ["Съешь же ещё этих мягких французских булок, да выпей чаю."],
    "cp1250": ["Zażółć gęślą jaźń. Pójdź w tę stronę.", "Příliš žluťoučký kůň úpěl ďábelské ódy."],
    "cp1253": ["Αυτή είναι μια ελληνική πρόταση για δοκιμή."],
    "cp932": ["これは日本語の文章です。文字コードの判定を試します。", "カタカナとひらがな混じりの文。ABC123", "日本語"],
    "gb18030": ["这是一个用于测试编码检测的中文句子。我们希望它能够被正确识别。", "测试文件"],
    "big5": ["這是一個用於測試編碼檢測的中文句子。我們希望它能夠被正確識別。"],
    "cp949": ["이것은 인코딩 감지를 시험하기 위한 한국어 문장입니다."],
}


@pytest.mark.parametrize(
    ("mark", "name"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (b"", "utf-8"),
    ],
)
def test_marks_are_honoured_and_taken_off(mark: bytes, name: str) -> None:
    data = mark + TEXT.encode(name)
    encoding = find_encoding(data)
    assert encoding == Encoding(name)
    assert encoding.metadata == {}
    assert decode(data, encoding) == TEXT
    assert list(decoded_lines(BytesIO(data), encoding, "\n")) == TEXT.splitlines(keepends=True)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in SENTENCES.items() for text in texts])
def test_older_encodings_are_guessed_and_the_guess_is_said(name: str, text: str) -> None:
    data = text.encode(name)
    encoding = find_encoding(data)
    assert decode(data, encoding) == text
    assert encoding.guessed
    assert encoding.metadata == {"encoding": encoding.name}


def test_a_declared_encoding_is_no_guess_and_only_taken_if_it_fits() -> None:
    data = "Zażółć".encode("iso8859_2")
    assert find_encoding(data, declared=Encoding("iso8859_2")) == Encoding("iso8859_2")
    assert find_encoding(data, declared=Encoding("ascii")).guessed
    assert find_encoding("Zażółć".encode(), declared=Encoding("iso8859_2")) == Encoding("utf-8")


@pytest.mark.parametrize(
    "data",
    [
        b"text\0text",
        TEXT.encode("utf-16-le"),
        b"\x89PNG\r\n\x1a\n\x0d" + bytes(range(1, 256)),
        bytes(range(128, 256)) * 4,
        b"\x02\x01caf\xe9 au lait, s'il vous pla\xeet",
        *(random.Random(seed).randbytes(300).replace(b"\0", b"") for seed in range(5)),
    ],
)
def test_binary_data_is_told_from_text(data: bytes) -> None:
    with pytest.raises(NotTextError, match="binary"):
        find_encoding(data)


def test_damaged_utf8_is_not_guessed_into_wrong_letters() -> None:
    data = "Größe, Käse, Öl".encode() + b" caf\xe9 " + "Größe".encode()
    with pytest.raises(DocumentError, match="is UTF-8 with 1 damaged places, the first at byte 23"):
        find_encoding(data)


@pytest.mark.parametrize(("name", "line_end"), [("utf-8", ""), ("utf-8", "\n"), ("cp932", "\n")])
def test_a_beginning_may_end_within_a_character(name: str, line_end: str) -> None:
    data = f"日本語の文章です。{line_end}".encode(name) * 20
    for cut in (1, 2, 3, 4):
        assert find_encoding(data[:-cut], whole=False).name == name


@pytest.mark.parametrize("name", ["utf-8", "utf-16-le", "utf-32-be", "cp1252", "cp932", "gb18030", "ascii"])
@pytest.mark.parametrize("position", [0, 7, 8192, 50_000])
def test_what_cannot_be_decoded_is_named_by_its_place(name: str, position: int) -> None:
    good = ("x" * 99 + "\n") * (position // 100) + "y" * (position % 100)
    bad = {"utf-16-le": b"\x00\xdc\x00\x00", "utf-32-be": b"\xff\xff\xff\xff"}.get(name, b"\x81\xff")
    bad = b"\x81\x81" if name == "cp1252" else bad
    data = good.encode(name) + bad + "\nrest\n".encode(name)
    place = f"is not {name} at byte {len(good.encode(name))}; give its encoding"
    with pytest.raises(DocumentError, match=place):
        decode(data, Encoding(name))
    lines = decoded_lines(BytesIO(data), Encoding(name), "\n")
    with pytest.raises(DocumentError, match=place):
        list(lines)


def load(file: Path, encoding: str | None = None) -> list[Document | Failure | Skipped]:
    return list(load_documents([file], encoding=encoding))


def test_an_encoding_can_be_forced(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"caf\xe9 \x80")
    source = str(file.resolve())
    assert load(file) == [Document(source, "café €", {"encoding": "cp1252"})]
    assert load(file, "latin-1") == [Document(source, "café \x80")]
    assert load(file, "utf-8") == [Failure(source, "is not utf-8 at byte 3; give its encoding")]
    assert load(file, "punycode")[0] == Failure(source, load(file, "punycode")[0].reason)  # type: ignore[union-attr]
    file.write_bytes("ohne Marke".encode("utf-16-be"))
    assert load(file, "UTF-16BE") == [Document(source, "ohne Marke")]
    for forced in ("utf-16", "utf-16-le"):
        file.write_bytes(codecs.BOM_UTF16_LE + "mit Marke".encode("utf-16-le"))
        assert load(file, forced) == [Document(source, "mit Marke")]


def test_names_of_encodings_are_those_of_python() -> None:
    assert checked_encoding("Latin-1") == checked_encoding("iso8859-1") == Encoding("iso8859-1")


@pytest.mark.parametrize(
    ("name", "rows"), [("a.jsonl", ['{"text": "%s"}\n'] * 3), ("a.csv", ["text\n", "%s\n", "%s\n", "%s\n"])]
)
def test_records_in_other_encodings(tmp_path: Path, name: str, rows: list[str]) -> None:
    file = tmp_path / name
    for encoding, guess in (("utf-16", {}), ("utf-8-sig", {}), ("cp1251", {"encoding": "cp1251"})):
        text = "Съешь же ещё этих мягких французских булок"
        file.write_bytes("".join(row.replace("%s", text) for row in rows).encode(encoding))
        found = load(file)
        assert [(item.text, item.metadata) for item in found if isinstance(item, Document)] == [(text, guess)] * 3
        assert len(found) == 3


def test_a_large_file_is_seen_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"plain text\n" * 200_000 + b"caf\xe9 au lait\n")
    (document,) = load(file)
    assert isinstance(document, Document)
    assert document.text.endswith("café au lait\n")
    assert document.metadata == {"encoding": "cp1252"}


@pytest.mark.parametrize("content", [b"one\ntwo\n", b"one\n\xff\n"])
def test_the_stream_of_lines_stays_open(content: bytes) -> None:
    stream = BytesIO(content)
    with suppress(DocumentError):
        list(decoded_lines(stream, Encoding("utf-8"), "\n"))
    gc.collect()
    assert not stream.closed


def test_a_stream_may_be_closed_before_its_lines_are_read() -> None:
    stream = BytesIO(b"one\ntwo\n")
    lines = decoded_lines(stream, Encoding("utf-8"), "\n")
    assert next(lines) == "one\n"
    stream.close()
    lines.close()  # type: ignore[attr-defined]


def test_files_of_records_are_closed_by_those_who_opened_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / "b.csv").write_text("text\none\n")
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        assert len(list(load_documents([tmp_path]))) == 2
        gc.collect()
    assert [warning for warning in given if issubclass(warning.category, ResourceWarning)] == []


def test_records_are_read_up_to_what_cannot_be_decoded(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    row = b'{"text": "%s"}\n' % (b"x" * 985)
    file.write_bytes(row * 1100 + b'{"text": "caf\xe9"}\n' + row)
    found = load(file)
    assert isinstance(found[-1], Failure)
    assert found[-1] == Failure(str(file.resolve()), f"is not utf-8 at byte {1100 * len(row) + 13}; give its encoding")
    assert 1000 < len(found) <= 1101
    assert all(isinstance(item, Document) for item in found[:-1])

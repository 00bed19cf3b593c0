from __future__ import annotations

import builtins
import csv
import logging
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minilm_retrieval.ingest import Document, Failure, Skipped, load_documents

pytest.importorskip("markitdown")

PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx(file: Path, *paragraphs: str, linked_picture: str = "") -> Path:
    """Write a Word file: paragraphs, of which the first is a heading, and a picture that lies elsewhere."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{"Normal" if number else "Heading1"}"/></w:pPr>'
        f"<w:r><w:t>{text}</w:t></w:r></w:p>"
        for number, text in enumerate(paragraphs)
    )
    relations = f'<Relationships xmlns="{PACKAGE}/relationships">{{}}</Relationships>'
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            "</Types>",
        )
        target = f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="word/document.xml"/>'
        archive.writestr("_rels/.rels", relations.format(target))
        if linked_picture:
            target = f'<Relationship Id="r9" TargetMode="External" Type="{OFFICE}/image" Target="{linked_picture}"/>'
            archive.writestr("word/_rels/document.xml.rels", relations.format(target))
            body += (
                '<w:p><w:r><w:drawing><wp:inline><a:graphic><a:graphicData><pic:pic><pic:blipFill><a:blip r:link="r9"/>'
                "</pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"
            )
        drawing = "http://schemas.openxmlformats.org/drawingml/2006"
        archive.writestr(
            "word/document.xml",
            f'<w:document xmlns:w="{WORD}" xmlns:r="{OFFICE}" xmlns:a="{drawing}/main" '
            f'xmlns:wp="{drawing}/wordprocessingDrawing" xmlns:pic="{drawing}/picture">'
            f"<w:body>{body}</w:body></w:document>",
        )
    return file


def pdf(file: Path, text: str, font: str = "Type1") -> Path:
    """Write a PDF file of one page; without a text it has nothing on it, as a scanned page has for this purpose."""
    content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
    parts = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        f"<</Length {len(content)}>>stream\n{content}\nendstream",
        f"<</Type/Font/Subtype/{font}/BaseFont/Helvetica>>",
    ]
    data, places = "%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{part}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    data += f"xref\n0 6\n0000000000 65535 f \n{table}trailer<</Size 6/Root 1 0 R>>\nstartxref\n{len(data)}\n%%EOF\n"
    file.write_bytes(data.encode("latin-1"))
    return file


def pptx(file: Path) -> Path:
    from pptx import Presentation

    slides = Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[1])
    slide.shapes.title.text = "The slide's title"
    slide.placeholders[1].text = "What it says"
    slide.notes_slide.notes_text_frame.text = "What the speaker says"
    slides.save(str(file))
    return file


def xlsx(file: Path) -> Path:
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "People"
    for row in (
        ["name", "age", None],
        ["Anna", "x33", None],
        [None, None, "late"],
        ["Unnamed: 2 in a text", "1", "NaN?"],
    ):
        book.active.append(row)
    book.save(file)
    return file


def html(file: Path) -> Path:
    file.write_text(
        "<html><head><title>T</title><style>p {}</style><script>alert(1)</script></head><body><h1>Zwölf</h1>"
        "<p>Text &amp; <a href='page.html'>a link</a>.</p><ul><li>one</li><li>two</li></ul></body></html>",
        encoding="utf-8",
    )
    return file


def load(*paths: Path, **options: Any) -> list[Document | Failure | Skipped]:
    return list(load_documents(paths, **options))


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        (
            "a.docx",
            lambda file: docx(file, "A heading", "A paragraph – of text."),
            "# A heading\n\nA paragraph – of text.",
        ),
        ("a.pdf", lambda file: pdf(file, "Text of a page."), "Text of a page."),
        ("a.PPTX", pptx, "# The slide's title\nWhat it says\n\n### Notes:\nWhat the speaker says"),
        ("a.html", html, "# Zwölf\n\nText & [a link](page.html).\n\n* one\n* two"),
        ("a.htm", html, "# Zwölf\n\nText & [a link](page.html).\n\n* one\n* two"),
    ],
)
def test_other_types_become_markdown(tmp_path: Path, name: str, make: Callable[[Path], Path], expected: str) -> None:
    (document,) = load(make(tmp_path / name))
    assert isinstance(document, Document)
    assert document.id == str((tmp_path / name).resolve())
    assert document.text.strip().removeprefix("<!-- Slide number: 1 -->\n") == expected
    assert (document.metadata, document.format) == ({}, "markdown")


def test_empty_cells_of_spreadsheets_are_empty(tmp_path: Path) -> None:
    (document,) = load(xlsx(tmp_path / "a.xlsx"))
    assert isinstance(document, Document)
    rows = csv.reader(document.text.splitlines()[3:], delimiter="|")
    assert document.text.startswith("## People\n| name | age |  |\n")
    assert [[cell.strip() for cell in row[1:-1]] for row in rows] == [
        ["Anna", "x33", ""],
        ["", "", "late"],
        ["Unnamed: 2 in a text", "1", "NaN?"],
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.docx", b"PK\x03\x04 no archive", "cannot be converted: BadZipFile"),
        ("a.pptx", b"", "cannot be converted: BadZipFile"),
        ("a.xlsx", b"text", "cannot be converted: BadZipFile"),
        ("a.pdf", b"%PDF-1.4\n1 0 obj\n<<", "cannot be converted: "),
        ("a.pdf", b"plain text", "cannot be converted: PDFSyntaxError"),
        ("a.html", b"\0\1\2", "is binary"),
        ("a.html", b"", "holds no text"),
        ("a.html", b"<html><head><title>only this</title></head><body> </body></html>", "holds no text"),
        ("a.html", b"<p>caf\xe9</p>" + "Größe ".encode() * 9, "is UTF-8 with 1 damaged places"),
    ],
)
def test_what_cannot_be_converted_is_reported(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    bad = tmp_path / name
    bad.write_bytes(content)
    found = load(bad, pdf(tmp_path / "z.pdf", "Text of a page."))
    assert isinstance(found[0], Failure)
    assert found[0].source == str(bad.resolve())
    assert found[0].reason.startswith(reason)
    assert "\n" not in found[0].reason
    assert isinstance(found[1], Document)


def test_documents_without_a_text_are_reported(tmp_path: Path) -> None:
    assert load(pdf(tmp_path / "a.pdf", ""), docx(tmp_path / "b.docx", "")) == [
        Failure(str((tmp_path / "a.pdf").resolve()), "holds no text (scanned pages?)"),
        Failure(str((tmp_path / "b.docx").resolve()), "holds no text"),
    ]


@pytest.mark.parametrize(
    ("content", "metadata"),
    [
        ("<meta charset='iso-8859-2'><body>Zażółć – gęślą".replace("–", "-").encode("iso8859_2"), {}),
        ("<meta charset='iso-8859-2'><body>Zażółć - gęślą".encode(), {}),
        ("<body>Zażółć - gęślą".encode("utf-16"), {}),
        ("<body>Zażółć - gęślą".encode("cp1250"), {"encoding": "cp1250"}),
        ("<meta charset='no-such'><body>Zażółć - gęślą".encode("cp1250"), {"encoding": "cp1250"}),
    ],
)
def test_encodings_of_pages(tmp_path: Path, content: bytes, metadata: dict[str, str]) -> None:
    file = tmp_path / "a.html"
    file.write_bytes(content)
    assert load(file) == [Document(str(file.resolve()), "Zażółć - gęślą", metadata, "markdown")]


def test_latin_1_is_what_browsers_take_it_for_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    file.write_bytes("<meta http-equiv=Content-Type content='text/html; charset=ISO-8859-1'>it’s café".encode("cp1252"))
    assert load(file)[0] == Document(str(file.resolve()), "it’s café", {}, "markdown")
    assert load(file, encoding="cp1250")[0] == Document(str(file.resolve()), "it’s café", {}, "markdown")
    assert load(file, encoding="ascii")[0] == Failure(str(file.resolve()), "is not ascii at byte 72; give its encoding")


def test_nothing_is_fetched_or_read_that_a_file_refers_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    word = docx(tmp_path / "a.docx", "Heading", "text", linked_picture=secret.as_uri())
    page = tmp_path / "b.html"
    page.write_text(
        f"<base href='http://192.0.2.1/'><p>text<img src='http://192.0.2.1/a.png'><img src='{secret.as_uri()}'>"
        "<iframe src='http://192.0.2.1/b'></iframe><link rel=stylesheet href='http://192.0.2.1/c.css'>"
    )
    monkeypatch.setattr(socket, "socket", lambda *arguments, **options: pytest.fail("the network was asked"))
    opened: list[str] = []
    original = builtins.open
    monkeypatch.setattr(
        builtins, "open", lambda file, *rest, **named: (opened.append(str(file)), original(file, *rest, **named))[1]
    )
    found = load(word, page)
    assert [type(item) for item in found] == [Document, Document]
    assert "c2VjcmV0" not in str(found)
    assert not [name for name in opened if "secret" in name]


NOISE = """
import sys, warnings
from minilm_retrieval.ingest import Document, load_documents
found = list(load_documents(sys.argv[1:]))
assert len(found) == len(sys.argv) - 1, found
warnings.warn("others are still heard")
"""


def test_nothing_is_printed_about_odd_files(tmp_path: Path) -> None:
    (tmp_path / "deep.html").write_text("<div>" * 3000 + "text")
    (tmp_path / "xml.html").write_text('<?xml version="1.0"?><html><body>text</body></html>')
    files = [
        pdf(tmp_path / "font.pdf", "text", font="Type0"),
        pdf(tmp_path / "a.pdf", ""),
        docx(tmp_path / "a.docx", ""),
        tmp_path / "deep.html",
        tmp_path / "xml.html",
    ]
    command = [sys.executable, "-c", NOISE, *map(str, files)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout == ""
    assert run.stderr.splitlines()[0].endswith("UserWarning: others are still heard")
    assert run.returncode == 0


def test_levels_of_loggers_are_given_back(tmp_path: Path) -> None:
    logging.getLogger("pdfminer").setLevel(logging.INFO)
    try:
        load(pdf(tmp_path / "a.pdf", "text"))
        assert logging.getLogger("pdfminer").level == logging.INFO
    finally:
        logging.getLogger("pdfminer").setLevel(logging.NOTSET)


def test_without_the_extra_folders_are_read_and_named_files_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pdf(tmp_path / "a.pdf", "text")
    (tmp_path / "b.txt").write_text("text")
    monkeypatch.setitem(sys.modules, "markitdown", None)
    reason = (
        'markitdown is needed for this and is not installed. Install it with: pip install "minilm-retrieval[files]"'
    )
    found = load(tmp_path)
    assert found[0] == Skipped(str(file.resolve()), reason)
    assert isinstance(found[1], Document)
    assert load(file) == [Failure(str(file.resolve()), reason)]


def test_a_converter_without_what_it_needs_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import markitdown.converters._docx_converter as module

    try:
        raise ImportError("no mammoth")
    except ImportError:
        monkeypatch.setattr(module, "_dependency_exc_info", sys.exc_info())
    (found,) = load(docx(tmp_path / "a.docx", "text"))
    assert isinstance(found, Failure)
    assert 'pip install "minilm-retrieval[files]"' in found.reason

"""Retrieval with judged answers: figures, ways of search, stored collections, and data that do not fit together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluated import WordEncoder, write_collection, write_judgements, write_lines
from stores import fill, local_client

from minilm_retrieval import MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.evaluation import RetrievalReport, evaluate_retrieval
from minilm_retrieval.evaluation.beir import read_collection
from minilm_retrieval.ingest import load_documents
from minilm_retrieval.similarity import cosine_similarity


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("beir") / "words")


@pytest.fixture(scope="module")
def report(folder: Path) -> RetrievalReport:
    return evaluate_retrieval(folder, {"plain": WordEncoder(), "noisy": WordEncoder(3.0)}, approximate=True)


def by_hand(folder: Path, encoder: WordEncoder) -> dict[str, float]:
    """Compute the figures from the files and the definitions."""
    documents = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    grades: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        grades.setdefault(query, {})[document] = int(grade)
    vectors = encoder.encode([f"{document['title']} {document['text']}" for document in documents])
    figures: dict[str, list[float]] = {"nDCG@10": [], "Recall@100": [], "MRR@10": [], "MAP@100": []}
    for query in queries:
        wanted = grades.get(query["_id"])
        if wanted is None:
            continue
        scores = cosine_similarity(encoder.encode([query["text"]])[0], vectors)
        found = np.array([wanted.get(documents[row]["_id"], 0) for row in np.argsort(-scores, kind="stable")])
        discounts = 1 / np.log2(np.arange(2, 12))
        ideal = np.array(sorted(wanted.values(), reverse=True)[:10])
        figures["nDCG@10"].append(found[:10] @ discounts / (ideal @ discounts[: len(ideal)]))
        figures["Recall@100"].append((found[:100] > 0).sum() / len(wanted))
        ranks = np.flatnonzero(found[:100] > 0) + 1
        figures["MRR@10"].append(1 / ranks[0] if ranks[0] <= 10 else 0)
        figures["MAP@100"].append(sum((np.arange(len(ranks)) + 1) / ranks) / len(wanted))
    return {measure: float(np.mean(values)) for measure, values in figures.items()}


@pytest.mark.parametrize("name", ["plain", "noisy"])
def test_the_figures_are_those_of_the_definitions(folder: Path, report: RetrievalReport, name: str) -> None:
    expected = by_hand(folder, WordEncoder(3.0 if name == "noisy" else 0.0))
    found = {measure: estimate.value for measure, estimate in report.figures[f"{name}, exact"].items()}
    assert found == pytest.approx(expected, abs=1e-6)
    assert 0.2 < expected["nDCG@10"] < 0.95


def test_what_was_searched_is_told(folder: Path, report: RetrievalReport) -> None:
    judged = [line.split("\t")[0] for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]]
    assert (report.documents, report.queries, report.judgements) == (120, len(set(judged)), len(judged))
    assert report.queries < 20, "one has no judgement"
    assert report.cut_documents == report.cut_queries == {"plain": None, "noisy": None}


def test_the_approximate_index_is_asked(report: RetrievalReport) -> None:
    assert list(report.figures) == ["plain, exact", "plain, approximate", "noisy, exact", "noisy, approximate"]
    for measure, estimate in report.differences["plain, approximate"].items():
        assert estimate.value == pytest.approx(0, abs=0.02), measure


def test_intervals_and_differences_are_over_queries(report: RetrievalReport) -> None:
    for measure, estimate in report.figures["plain, exact"].items():
        assert estimate.low <= estimate.value <= estimate.high, measure
    assert report.figures["plain, exact"]["nDCG@10"].low < report.figures["plain, exact"]["nDCG@10"].high
    difference = report.differences["noisy, exact"]["nDCG@10"]
    assert difference.high < 0, "noise makes it worse, and so few queries are enough to see it"


def test_documents_are_compared_some_at_a_time(
    folder: Path, report: RetrievalReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minilm_retrieval.evaluation.encoders.BLOCK", 13)
    encoder = WordEncoder()
    found = evaluate_retrieval(folder, {"plain": encoder})
    assert found.figures["plain, exact"] == report.figures["plain, exact"]
    assert max(encoder.calls) == 13


def test_measures_are_ir_measures(folder: Path) -> None:
    found = evaluate_retrieval(
        folder, {"it": WordEncoder()}, measures=["P@1", "MAP", "nDCG@3", "AP", "R(rel=2)@5"], resamples=10
    )
    assert list(found.figures["it, exact"]) == ["P@1", "MAP", "nDCG@3", "R(rel=2)@5"], "AP is MAP by another name"
    for wrong in ("ndcg@10", "nDCG@0", "nDCG@x", "R", "", "alpha_nDCG@10"):
        with pytest.raises(InvalidOptionError, match="is not a measure of ir-measures that can be computed here"):
            evaluate_retrieval(folder, {"it": WordEncoder()}, measures=[wrong])
    with pytest.raises(InvalidOptionError, match="at least one measure"):
        evaluate_retrieval(folder, {"it": WordEncoder()}, measures=[])
    with pytest.raises(InvalidOptionError, match="at least one system"):
        evaluate_retrieval(folder, {})


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_cut_texts_are_counted(tmp_path: Path, fake_engine: Any) -> None:
    write_lines(
        tmp_path / "corpus.jsonl",
        [{"_id": 1, "title": "word " * 200, "text": "word " * 100}, {"_id": 2, "title": "", "text": ""}],
    )
    write_lines(tmp_path / "queries.jsonl", [{"_id": "a", "text": "x"}, {"_id": "b", "text": "word " * 300}])
    write_judgements(tmp_path / "qrels" / "dev.tsv", {"a": {"1": 1}, "b": {"2": 1}})
    found = evaluate_retrieval(tmp_path, {"it": MiniLMEmbedder()}, split="dev", resamples=10)
    assert (found.cut_documents, found.cut_queries) == ({"it": 1}, {"it": 1})


def test_a_collection_of_the_documents_own_ids(folder: Path, tmp_path: Path, fake_engine: Any) -> None:
    embedder = MiniLMEmbedder()
    data = read_collection(folder)
    collection = open_collection("own", path=tmp_path, create=True, embedder=embedder)
    vectors = embedder.encode(list(data.documents()))
    collection.add(ids=data.document_ids, embeddings=list(vectors))
    collection.add(ids=["of another corpus"], embeddings=list(embedder.encode(["something else"])))
    found = evaluate_retrieval(folder, {"own": Retriever(collection, embedder), "anew": embedder}, resamples=10)
    assert list(found.figures) == ["own, exact", "own, approximate", "anew, exact"]
    assert found.cut_documents == {"own": None, "anew": 0}
    for measure, estimate in found.differences["anew, exact"].items():
        assert estimate.value == pytest.approx(0, abs=0.01), measure


def test_a_collection_of_passages_that_index_made(folder: Path, tmp_path: Path, fake_engine: Any) -> None:
    """A document is as near as its nearest passage, and enough passages are asked for."""
    embedder = MiniLMEmbedder()
    long = tmp_path / "long"
    long.mkdir()
    write_lines(
        long / "corpus.jsonl",
        [
            {"_id": f"d{number}", "text": " ".join(f"word{number} again{part}." for part in range(40))}
            for number in range(12)
        ],
    )
    write_lines(long / "queries.jsonl", [{"_id": f"q{number}", "text": f"word{number}"} for number in range(12)])
    everything = {f"d{number}": 1 for number in range(12)}
    write_judgements(long / "qrels" / "test.tsv", {f"q{number}": everything for number in range(12)})
    collection = open_collection("passages", path=tmp_path / "chroma", create=True, embedder=embedder)
    made = index_documents(collection, load_documents([long / "corpus.jsonl"]), embedder, passage_tokens=16)
    assert made.passages_written > 100
    found = evaluate_retrieval(
        long, {"passages": Retriever(collection, embedder)}, measures=["Recall@12"], resamples=10
    )
    assert found.figures["passages, exact"]["Recall@12"].value == 1
    assert found.figures["passages, approximate"]["Recall@12"].value == 1


def test_a_collection_whose_metadata_name_the_document(folder: Path, tmp_path: Path, fake_engine: Any) -> None:
    embedder = MiniLMEmbedder()
    data = read_collection(folder)
    collection = fill(
        local_client(tmp_path),
        "others",
        embedder.encode(list(data.documents())),
        documents=list(data.documents()),
        metadatas=[{"doc": id} for id in data.document_ids],
    )
    retriever = Retriever(collection, embedder)
    found = evaluate_retrieval(
        folder, {"it": retriever, "anew": embedder}, document_field="doc", measures=["P@5"], resamples=10
    )
    assert found.differences["anew, exact"]["P@5"].value == pytest.approx(0, abs=0.02)
    with pytest.raises(DocumentError, match=r"No record found in the collection 'others'.*'id-00.*corpus has 'd0'"):
        evaluate_retrieval(folder, {"it": retriever}, resamples=10)


Break = Callable[[Path], Any]


def replace(name: str, old: str, new: str) -> Break:
    return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new, 1))


def append(name: str, line: str) -> Break:
    return lambda folder: (folder / name).write_text((folder / name).read_text() + line)


def remove(name: str) -> Break:
    return lambda folder: (folder / name).unlink()


TSV = "qrels/test.tsv"
MALFORMED: dict[str, tuple[Break, str]] = {
    "no corpus": (remove("corpus.jsonl"), r"has no corpus.jsonl; expected corpus.jsonl \(_id, title, text\)"),
    "no queries": (remove("queries.jsonl"), r"has no queries.jsonl"),
    "no judgements": (remove(TSV), r"has no qrels/test.tsv. Expected corpus.jsonl"),
    "another split": (
        lambda folder: (folder / TSV).rename(folder / "qrels" / "dev.tsv"),
        r"has no qrels/test.tsv. There are judgements for --split dev",
    ),
    "empty corpus": (lambda folder: (folder / "corpus.jsonl").write_text(""), r"corpus.jsonl: is empty"),
    "empty judgements": (
        lambda folder: (folder / TSV).write_text("query-id\tcorpus-id\tscore\n"),
        "holds no judgements",
    ),
    "no header": (
        lambda folder: (folder / TSV).write_text("q1\td1\t1\nq1\td2\t1\n"),
        r"expected the columns 'query-id', 'corpus-id', 'score' in its first line, which has 'q1', 'd1', '1'",
    ),
    "document twice": (replace("corpus.jsonl", '"d7"', '"d3"'), "line 8 has the id 'd3' of an earlier line"),
    "query twice": (replace("queries.jsonl", '"q7"', '"q3"'), "queries.jsonl: line 8 has the id 'q3'"),
    "no id": (replace("corpus.jsonl", '"_id": "d3"', '"id": "d3"'), "line 4 has no id in the field '_id'"),
    "no text": (replace("corpus.jsonl", '"text"', '"body"'), "line 1 has no text in the field 'text'"),
    "unknown document": (
        append(TSV, "q1\tx1\t1\nq1\tx2\t1\nq1\tx3\t1\nq1\tx4\t0\n"),
        r"documents that corpus.jsonl does not have: 'x1', 'x2', 'x3' and 1 more",
    ),
    "unknown query": (append(TSV, "x1\td1\t1\n"), r"judges queries that queries.jsonl does not have: 'x1'"),
    "half a grade": (append(TSV, "q1\td1\t0.5\n"), r"has the score '0.5'; expected a whole number"),
    "no grade": (append(TSV, "q1\td1\tnan\n"), r"has the score 'nan'"),
    "endless grade": (append(TSV, "q1\td1\t1e999\n"), r"has the score '1e999'"),
    "two grades": (
        append(TSV, "q19\td1\t1\nq19\td1\t1.0\nq19\td1\t2\n"),
        r"judges document 'd1' for query 'q19' with 2, and an earlier line with 1",
    ),
    "one query": (
        lambda folder: write_judgements(folder / TSV, {"q1": {"d1": 1}}),
        "one query is judged; an interval needs at least 2",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_data_are_refused(tmp_path: Path, name: str) -> None:
    spoil, message = MALFORMED[name]
    folder = write_collection(tmp_path / "words", documents=30)
    spoil(folder)
    with pytest.raises(DocumentError, match=message):
        evaluate_retrieval(folder, {"it": WordEncoder()})


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no such directory; expected one with corpus"):
        evaluate_retrieval(tmp_path / "none", {"it": WordEncoder()})

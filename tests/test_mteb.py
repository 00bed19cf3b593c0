"""The embedder in MTEB: its protocol, and the same figures as from this library's own evaluation."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from soak import needs_soak
from test_quality import folder

from minilm_retrieval import MiniLMEmbedder, __version__
from minilm_retrieval.errors import InvalidTextError, MissingExtraError
from minilm_retrieval.evaluation import evaluate_retrieval, evaluate_sts
from minilm_retrieval.evaluation.mteb import MiniLMEncoder

TOLERANCE = 0.0005


def test_without_mteb_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(MissingExtraError, match=r"minilm-retrieval\[mteb\]"):
        MiniLMEncoder()


@pytest.fixture(scope="module")
def mteb() -> Any:
    return pytest.importorskip("mteb", reason="mteb is not installed")


@pytest.mark.filterwarnings("error::UserWarning")
def test_texts_of_batches_are_embedded_whatever_the_prompt(mteb: Any, fake_engine: Any) -> None:
    embedder = MiniLMEmbedder()
    model = MiniLMEncoder(embedder)
    texts = ["one", "two", "word " * 300]
    batches = [{"text": texts[:2], "title": ["a", "b"]}, {"text": texts[2:]}]
    found = model.encode(iter(batches), prompt_type="query", task_metadata=None, batch_size=2)
    np.testing.assert_array_equal(found, embedder.quietly().encode(texts))
    assert model.encode([]).shape == (0, 384)
    with pytest.raises(InvalidTextError, match="with 'text', got one with 'image'"):
        model.encode([{"image": []}])


def test_it_is_an_encoder_of_mteb(mteb: Any, embedder: MiniLMEmbedder) -> None:
    from mteb.models import EncoderProtocol

    model = MiniLMEncoder(embedder)
    assert isinstance(model, EncoderProtocol)
    vectors = embedder.encode(["a cat", "a kitten", "the weather"])
    expected = vectors @ vectors.T
    np.testing.assert_allclose(model.similarity(vectors, vectors), expected, atol=1e-6)
    np.testing.assert_allclose(model.similarity_pairwise(vectors[:2], vectors[1:]), expected[[0, 1], [1, 2]], atol=1e-6)


def test_results_are_filed_under_a_name_of_their_own(mteb: Any, embedder: MiniLMEmbedder, small_model: Any) -> None:
    """Otherwise mteb would take those of sentence-transformers, or of another precision, from its cache."""
    published = mteb.get_model_meta("sentence-transformers/all-MiniLM-L6-v2")
    metas = [
        MiniLMEncoder(one).mteb_model_meta
        for one in (
            embedder,
            MiniLMEmbedder(precision="int8"),
            MiniLMEmbedder(max_seq_length=128),
            MiniLMEmbedder(small_model.write()),
        )
    ]
    assert len({(meta.name, meta.revision) for meta in [published, *metas]}) == 5
    assert metas[0].name == "minilm-retrieval/all-MiniLM-L6-v2"
    assert metas[1].name == "minilm-retrieval/all-MiniLM-L6-v2-int8"
    assert metas[0].revision == f"{__version__}-{embedder.fingerprint[:12]}"
    assert metas[0].training_datasets == published.training_datasets
    assert metas[3].training_datasets is None
    assert [meta.max_tokens for meta in metas[:3]] == [256, 256, 128]
    assert published.name == "sentence-transformers/all-MiniLM-L6-v2", "mteb's own record is as it was"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError(f"asked the network: {arguments}")

    monkeypatch.setattr("socket.socket.connect", refuse)


def described(name: str, kind: str, score: str) -> Any:
    from mteb.abstasks.task_metadata import TaskMetadata

    return TaskMetadata(
        name=name,
        description=name,
        dataset={"path": "none", "revision": "none"},
        type=kind,
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=score,
    )


def mteb_scores(mteb: Any, embedder: MiniLMEmbedder, task: Any) -> Any:
    results = mteb.evaluate(MiniLMEncoder(embedder), task, cache=None, show_progress_bar=False)
    return results.task_results[0].scores["test"][0]


@needs_soak
def test_sts_benchmark_is_that_of_mteb(mteb: Any, embedder: MiniLMEmbedder, offline: None) -> None:
    from datasets import Dataset
    from mteb.abstasks.sts import AbsTaskSTS

    file = folder("stsb") / "test.tsv"
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))

    class Task(AbsTaskSTS):  # type: ignore[misc, valid-type]
        metadata = described("LocalSTS", "STS", "cosine_spearman")

        def load_data(self, **options: Any) -> None:
            self.dataset = {"test": Dataset.from_list([{**row, "score": float(row["score"])} for row in rows])}
            self.data_loaded = True

    theirs = mteb_scores(mteb, embedder, Task())
    ours = evaluate_sts(file, {"it": embedder}, resamples=1).figures["it"]
    assert ours["Spearman"].value == pytest.approx(theirs["cosine_spearman"], abs=TOLERANCE)
    assert ours["Pearson"].value == pytest.approx(theirs["cosine_pearson"], abs=TOLERANCE)


@needs_soak
def test_cranfield_is_that_of_mteb(mteb: Any, embedder: MiniLMEmbedder, offline: None) -> None:
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval

    data = folder("cranfield")
    answers: dict[str, dict[str, int]] = {}
    with (data / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as opened:
        for row in csv.DictReader(opened, delimiter="\t"):
            answers.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])

    def rows(file: Path) -> Any:
        return Dataset.from_list(
            [
                {
                    "id" if name == "_id" else name: value
                    for name, value in json.loads(line).items()
                    if name != "metadata"
                }
                for line in file.read_text(encoding="utf-8").splitlines()
            ]
        )

    class Task(AbsTaskRetrieval):  # type: ignore[misc, valid-type]
        metadata = described("LocalRetrieval", "Retrieval", "ndcg_at_10")

        def load_data(self, **options: Any) -> None:
            corpus, queries = rows(data / "corpus.jsonl"), rows(data / "queries.jsonl")
            split = {"corpus": corpus, "queries": queries, "relevant_docs": answers, "top_ranked": None}
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    theirs = mteb_scores(mteb, embedder, Task())
    ours = evaluate_retrieval(data, {"it": embedder}, resamples=1).figures["it, exact"]
    for measure, name in {
        "nDCG@10": "ndcg_at_10",
        "Recall@100": "recall_at_100",
        "MRR@10": "mrr_at_10",
        "MAP@100": "map_at_100",
    }.items():
        assert ours[measure].value == pytest.approx(theirs[name], abs=TOLERANCE), measure

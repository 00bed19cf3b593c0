"""What is done on a cluster, piece by piece and without one: finding, lots, workers' work on them, options."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pyarrow
import pytest
from fake_engine import FakeEngine
from stores import chroma_server, local_client
from typer.testing import CliRunner

from minilm_retrieval import Document, MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.cli.main import app
from minilm_retrieval.errors import ClusterError, CollectionMismatchError, InvalidOptionError
from minilm_retrieval.ingest import Failure, IndexReport, Skipped, load_documents
from minilm_retrieval.ingest.loading.walk import SourceFile
from minilm_retrieval.scaleout import Files, Splitting, Workers
from minilm_retrieval.scaleout.block_folder import BlockFolder
from minilm_retrieval.scaleout.equipment import Embedding
from minilm_retrieval.scaleout.finding import Finder
from minilm_retrieval.scaleout.lot_embedder import LotEmbedder
from minilm_retrieval.scaleout.lot_indexer import LotIndexer
from minilm_retrieval.scaleout.lots import FoundFile, Group, grouped, lots
from minilm_retrieval.scaleout.outcomes import Collecting, Outcome
from minilm_retrieval.scaleout.place import Place


@pytest.fixture
def embedding(fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> Embedding:
    return Embedding(embedder, Workers(1), Splitting(), embedder.fingerprint)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "texts"
    (place / "inner").mkdir(parents=True)
    (place / "a.txt").write_text("First.")
    (place / "inner" / "b.jsonl").write_text('{"id": "x", "text": "Second."}\n{"id": "x", "text": "Again."}\n')
    (place / "inner" / "c.bin").write_bytes(b"\0")
    (place / ".hidden.txt").write_text("Not read.")
    return place


def test_files_of_this_machine_are_those_of_indexing(folder: Path) -> None:
    found = [item for item in Finder().find([str(folder)]) if isinstance(item, FoundFile)]
    items = [item for group in grouped(found) for item in group.items("text", None)]
    local = [item for item in load_documents([folder]) if not isinstance(item, Skipped)]
    assert items[:2] == local[:2]
    # The second of an id is a failure here, and there when it is indexed.
    assert [type(item) for item in items] == [Document, Document, Failure]


def test_files_of_other_file_systems() -> None:
    remote = fsspec.filesystem("memory")
    remote.pipe({"/texts/a.txt": b"First.", "/texts/inner/b.csv": b"id,text\n7,Second.\n", "/texts/c.bin": b"\0"})
    found = list(Finder().find(["memory:///texts"]))
    skipped = [item for item in found if isinstance(item, Skipped)]
    files = [item for item in found if isinstance(item, FoundFile)]
    assert [item.source.endswith("c.bin") for item in skipped] == [True]
    documents = [item for group in grouped(files) for item in group.items("text", None)]
    assert [(item.id.rpartition("/")[2], item.text) for item in documents if isinstance(item, Document)] == [
        ("a.txt", "First."),
        ("b.csv#7", "Second."),
    ]
    assert all(isinstance(item, Document) and item.id.startswith("memory://") for item in documents)
    (only,) = Finder().find(["memory:///texts/*.txt"])
    assert isinstance(only, FoundFile)
    assert only.file.source.endswith("a.txt")
    (missing,) = Finder().find(["memory:///nowhere"])
    assert missing == Failure("memory:///nowhere", "no such file or folder")
    with pytest.raises(InvalidOptionError, match="No file system for 'nonsense://x/y'"):
        list(Finder().find(["nonsense://x/y"]))


def test_an_address_that_pyarrow_was_built_without(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutAny:
        @staticmethod
        def from_uri(address: str) -> None:
            raise pyarrow.ArrowNotImplementedError(f"built without support for {address}")

    fsspec.filesystem("memory").pipe({"/alone/a.txt": b"First."})
    monkeypatch.setattr("pyarrow.fs.FileSystem", WithoutAny)
    (found,) = Finder().find(["memory:///alone"])
    assert isinstance(found, FoundFile)
    with pytest.raises(InvalidOptionError, match="built without support for nonsense://x/y"):
        list(Finder().find(["nonsense://x/y"]))


def test_addresses_of_local_files(folder: Path) -> None:
    (found,) = Finder(include=["*.txt"]).find([f"file://{folder}"])
    assert isinstance(found, FoundFile)
    assert [item.text for item in Group([found.file], found.filesystem).items("text", None)] == ["First."]  # type: ignore[union-attr]


def test_groups_depend_on_the_files_alone() -> None:
    files = [FoundFile(SourceFile(f"{number}.txt", f"/{number}.txt"), 1 << 20) for number in range(40)]
    sizes = [len(group.files) for group in grouped(files)]
    assert sum(sizes) == 40
    assert max(sizes) <= 16
    pages = [FoundFile(SourceFile(f"{number}.pdf", f"/{number}.pdf"), 1 << 20) for number in range(4)]
    # What is converted takes long to read.
    assert [len(group.files) for group in grouped(pages)] == [1, 1, 1, 1]


def test_lots_are_bounded() -> None:
    short: list[Any] = [Document(str(number), "short") for number in range(2500)]
    assert [len(lot) for lot in lots(short)] == [1000, 1000, 500]
    long: list[Any] = [Document(str(number), "x" * 150_000) for number in range(5)]
    assert [len(lot) for lot in lots(long)] == [3, 2]
    assert list(lots([])) == []


@pytest.mark.parametrize("options", [{"count": 0}, {"cpus": 0}, {"cpus": 1.5}, {"gpus": 2}, {"gpus": -1}])
def test_workers_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match="Workers: "):
        Workers(**options)


def test_workers_are_counted() -> None:
    def cluster(**resources: float) -> Any:
        return SimpleNamespace(cluster_resources=lambda: resources)

    assert Workers().counted(cluster(CPU=8.0)) == 8
    assert Workers(cpus=3).counted(cluster(CPU=8.0)) == 2
    assert Workers(gpus=1).counted(cluster(CPU=8.0, GPU=2.0)) == 2
    assert Workers(5).counted(cluster(CPU=0.0)) == 5
    with pytest.raises(ClusterError, match="cluster has 8 processors and 0 GPUs"):
        Workers(gpus=1).counted(cluster(CPU=8.0))


def test_a_workers_embedder_has_its_own_threads() -> None:
    like = MiniLMEmbedder(precision="int8", max_seq_length=128, threads=2)
    worker = Workers(cpus=1).embedder(like)
    assert (worker.precision, worker.max_seq_length, worker.threads, worker.device) == ("int8", 128, 1, "cpu")
    assert worker.fingerprint == like.fingerprint


def test_a_local_directory_is_refused(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    collection = open_collection("docs", client=local_client(tmp_path / "chroma"), create=True, embedder=embedder)
    with pytest.raises(InvalidOptionError, match=f"chroma run --path {tmp_path / 'chroma'}"):
        Place.of(collection)


def test_a_lot_is_indexed_once(tmp_path: Path, embedding: Embedding, fake_engine: FakeEngine) -> None:
    lot: list[Any] = [Document("a", "One."), Failure("b", "cannot be read"), Document("c", " "), Document("d", "Two.")]
    with chroma_server(tmp_path / "server") as port:
        collection = open_collection("docs", host="127.0.0.1", port=port, create=True, embedder=embedding.like)
        place = Place.of(collection)
        first = LotIndexer(place, embedding)(lot)
        again = LotIndexer(place, embedding)(lot)
        reports = [(part.report.added, part.report.unchanged, part.report.empty) for part in (first, again)]
        assert reports == [(2, 0, 1), (0, 2, 1)]
        assert first.report.failed == [Failure("b", "cannot be read")]
        assert fake_engine.rows == 2
        local = open_collection("docs", client=local_client(tmp_path / "local"), create=True, embedder=embedding.like)
        index_documents(local, lot, embedding.like)
        assert sorted(collection.get()["ids"]) == sorted(local.get()["ids"])
        worker = LotIndexer(place, embedding)
        assert worker(lot).error == ""
        collection._client.delete_collection("docs", tenant=collection.tenant, database=collection.database)
        failed = worker(lot)
    assert failed.error == "CollectionNotFoundError"
    with pytest.raises(LookupError, match=r"^On a worker: .*'docs'.* 5 passages of this run were written and stay"):
        failed.check(IndexReport(passages_written=5))


def test_another_model_on_a_worker_is_told(embedding: Embedding) -> None:
    other = Embedding(embedding.like, embedding.workers, embedding.splitting, "0123")
    outcome = LotIndexer(Place("docs", {"host": "127.0.0.1", "port": 1}), other)
    with pytest.raises(CollectionMismatchError, match="Give all machines the same model"):
        _ = outcome._embedding.embedder


def test_a_lot_is_embedded_once(tmp_path: Path, embedding: Embedding, fake_engine: FakeEngine) -> None:
    folder = BlockFolder(str(tmp_path / "blocks"))
    folder.start({"a": 1})
    lot: list[Any] = [Document("a", "One."), Document("b", " "), Document("d", "Two.", {"x": 1})]
    first = LotEmbedder(folder, embedding)(lot)
    assert (first.report.added, first.report.empty, first.report.passages_written) == (2, 1, 2)
    assert LotEmbedder(folder, embedding)(lot).report.unchanged == 3
    assert fake_engine.rows == 2
    changed = LotEmbedder(folder, embedding)([*lot[:2], Document("d", "Two.", {"x": 2})])
    assert changed.block != first.block
    folder.finish({"a": 1}, {changed.block})
    assert {file.name for file in (tmp_path / "blocks").iterdir()} == {"minilm.json", changed.block}
    assert json.loads((tmp_path / "blocks" / "minilm.json").read_text()) == {"settings": {"a": 1}, "finished": True}


def test_folders_that_are_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidOptionError, match=r"is not empty and holds no minilm\.json"):
        BlockFolder(str(tmp_path)).start({})
    place = tmp_path / "blocks"
    BlockFolder(str(place)).start({"precision": "float32"})
    with pytest.raises(InvalidOptionError, match="precision 'float32' there, 'int8' now"):
        BlockFolder(str(place)).start({"precision": "int8"})


def test_a_folder_that_cannot_be_written(tmp_path: Path, embedding: Embedding) -> None:
    (tmp_path / "file").write_text("no folder")
    outcome = LotEmbedder(BlockFolder(str(tmp_path / "file")), embedding)([Document("a", "One.")])
    assert outcome.error == "StoreError"
    assert "cannot be written" in outcome.message


def test_outcomes_add_up() -> None:
    collecting = Collecting()
    collecting.note(Failure("a", "gone"))
    parts = [IndexReport(added=1, passages_written=2, metadata_changes={"x": 1}) for _ in range(3)]
    ray = SimpleNamespace(exceptions=SimpleNamespace(RayError=KeyError))
    report = collecting.take((Outcome(part, block=f"b{number}") for number, part in enumerate(parts)), ray, False)
    assert (report.added, report.passages_written, report.metadata_changes, len(report.failed)) == (3, 6, {"x": 3}, 1)
    assert collecting.blocks == {"b0", "b1", "b2"}

    def dying() -> Any:
        yield Outcome(parts[0])
        raise KeyError("trace\nthe machine is gone")

    with pytest.raises(ClusterError, match=r"Ray gave up: .*the machine is gone.* 8 passages of this run were written"):
        collecting.take(dying(), ray, False)


def test_wrong_options_are_said_at_once() -> None:
    with pytest.raises(InvalidOptionError, match=r"paths must be a list"):
        Files("docs")
    with pytest.raises(InvalidOptionError, match="encoding="):
        Files(["docs"], encoding="nonsense")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ray"], "With --ray, several processes write"),
        (["--ray", "--path", "x", "--output", "y"], "Give either --output or the place"),
        (["--ray-workers", "2"], "--ray-workers goes with --ray."),
        (["--output", "x"], "--output goes with --ray."),
        (["--ray", "--host", "h", "--prune"], "--prune is not offered with --ray"),
        (["--ray=auto", "--host", "h", "--threads", "2"], "say --ray-cpus"),
        (["--ray", "--host", "h", "--ray-gpus", "2"], "gpus must be 0 or 1"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["index", *options, str(tmp_path)])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())

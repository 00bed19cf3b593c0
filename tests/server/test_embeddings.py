"""OpenAI's embeddings API: what is asked, what is answered, and what is refused with which words."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest
from asgi import asgi_client
from fake_engine import FakeEngine

from minilm_retrieval import MiniLMEmbedder

PATH = "/v1/embeddings"


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """Return the error of an answer, having checked its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def vectors_of(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    assert [row["index"] for row in data] == list(range(len(data)))
    assert {row["object"] for row in data} == {"embedding"}
    rows = [row["embedding"] for row in data]
    return np.array(
        [np.frombuffer(base64.b64decode(row), dtype="<f4") if isinstance(row, str) else row for row in rows],
        dtype=np.float32,
    )


async def test_vectors_are_the_cores(embedder: MiniLMEmbedder) -> None:
    texts = ["a cat", "", "a cat", "日本語 🙂", "long " * 300, *(f"text {number}" for number in range(70))]
    expected = embedder.encode(texts)
    async with asgi_client() as client:
        for form in ("float", "base64", None):
            response = await client.post(PATH, json={"input": texts, "model": "any", "encoding_format": form})
            assert np.abs(vectors_of(response) - expected).max() <= 1e-6
        answer = response.json()
        assert (answer["object"], answer["model"]) == ("list", "any")
        read = sum(min(count, 256) for count in embedder.count_tokens(texts))
        assert answer["usage"] == {"prompt_tokens": read, "total_tokens": read}
        for text in ("a cat", ""):
            single = vectors_of(await client.post(PATH, json={"input": text, "model": "any"}))
            assert np.abs(single - embedder.encode([text])).max() <= 1e-6


@pytest.mark.parametrize("path", [PATH, "/embeddings", "/v1/engines/text-embedding-ada-002/embeddings"])
async def test_paths_and_unknown_fields(path: str, fake_engine: FakeEngine) -> None:
    async with asgi_client() as client:
        body = {"input": "a", "user": "me", "stream_options": {"a": 1}, "model": None, "encoding_format": None}
        response = await client.post(path, json=body)
        assert vectors_of(response).shape == (1, 384)
        assert response.json()["model"] == "all-MiniLM-L6-v2"


async def test_token_ids_are_those_of_cl100k(embedder: MiniLMEmbedder) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    from minilm_retrieval.server.token_input import decoded

    assert decoded([[15339, 1917]]) == ["hello world"]
    ids = [15339, 1917]
    async with asgi_client() as client:
        for input, count in ((ids, 1), ([ids, ids[:1]], 2)):
            vectors = vectors_of(await client.post(PATH, json={"input": input}))
            assert np.abs(vectors - embedder.encode(["hello world", "hello"][:count])).max() <= 1e-6
        for wrong in ([100_256], [[5], [1 << 40]], [[15339], [99_999_999]]):
            error = error_of(await client.post(PATH, json={"input": wrong}), 400)
            assert error["param"] == "input"
    assert tiktoken.__name__ == "tiktoken"


async def test_without_the_encodings_file_the_client_is_told_what_to_do(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def absent() -> Any:
        tried.append(1)
        raise OSError("no network")

    monkeypatch.setattr("minilm_retrieval.server.token_input._failed", (float("-inf"), OSError()))
    monkeypatch.setattr("minilm_retrieval.server.token_input._loaded", absent)
    async with asgi_client() as client:
        error = error_of(await client.post(PATH, json={"input": [1, 2]}), 400)
        assert "check_embedding_ctx_length=False" in error["message"]
        assert "TIKTOKEN_CACHE_DIR" in error["message"]
        error_of(await client.post(PATH, json={"input": [1, 2]}), 400)
        assert len(tried) == 1, "it may have taken a minute to fail"


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b"{", None, "not JSON"),
        (b"", None, "not JSON"),
        (b"\xff", None, "not JSON"),
        (b"[]", None, "object"),
        (b"{}", "input", "required"),
        (b'{"input": null}', "input", "One text"),
        (b'{"input": 5}', "input", "One text"),
        (b'{"input": ["a", 5]}', "input", "One text"),
        (b'{"input": [1.5]}', "input", "One text"),
        (b'{"input": [-1]}', "input", "One text"),
        (b'{"input": [[[1]]]}', "input", "One text"),
        (b'{"input": []}', "input", "empty list"),
        (b'{"input": "a", "encoding_format": "hex"}', "encoding_format", "'float' or 'base64'"),
        (b'{"input": "a", "dimensions": 256}', "dimensions", "384"),
        (b'{"input": "a", "dimensions": "384"}', "dimensions", "integer"),
        (b'{"input": "a", "model": 5}', "model", "string"),
    ],
)
async def test_what_is_wrong_is_named(body: bytes, param: str | None, words: str, fake_engine: FakeEngine) -> None:
    async with asgi_client() as client:
        error = error_of(await client.post(PATH, content=body), 400)
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert words in error["message"]


async def test_a_lone_surrogate_in_json_is_no_crash(fake_engine: FakeEngine) -> None:
    async with asgi_client() as client:
        cut = await client.post(PATH, content=b'{"input": ["a \\ud800 b", "c"]}')
        whole = await client.post(PATH, json={"input": ["a \ufffd b", "c"]})
        assert np.array_equal(vectors_of(cut), vectors_of(whole))
        assert (await client.post(PATH, json={"input": "a", "dimensions": 384})).status_code == 200


async def test_limits_are_named(fake_engine: FakeEngine) -> None:
    async with asgi_client(max_texts=3, max_tokens=50, max_body_bytes=2000) as client:
        assert vectors_of(await client.post(PATH, json={"input": ["a"] * 3})).shape == (3, 384)
        assert "max_texts" in error_of(await client.post(PATH, json={"input": ["a"] * 4}), 400)["message"]
        assert "max_tokens" in error_of(await client.post(PATH, json={"input": "a " * 60}), 400)["message"]
        assert "max_body_bytes" in error_of(await client.post(PATH, content=b"x" * 2001), 413)["message"]

        async def parts() -> Any:
            for _ in range(30):
                yield b"x" * 100

        assert "max_body_bytes" in error_of(await client.post(PATH, content=parts()), 413)["message"]


async def test_over_long_texts_are_said_in_headers_or_refused(fake_engine: FakeEngine) -> None:
    body = {"input": ["short", "long " * 300, "short", "longer " * 400]}
    async with asgi_client() as client:
        headers = (await client.post(PATH, json=body)).headers
        assert (headers["x-truncated-texts"], headers["x-truncated-positions"]) == ("2", "1,3")
        assert "x-truncated-texts" not in (await client.post(PATH, json={"input": "short"})).headers
    async with asgi_client(on_truncate="ignore") as client:
        assert "x-truncated-texts" not in (await client.post(PATH, json=body)).headers
    async with asgi_client(on_truncate="error") as client:
        error = error_of(await client.post(PATH, json=body), 400)
        assert error["code"] == "context_length_exceeded"
        assert "2 texts are longer than the model's 256 tokens, at position 1 (302 tokens)" in error["message"]


async def test_models(fake_engine: FakeEngine) -> None:
    async with asgi_client() as client:
        (model,) = (await client.get("/v1/models")).json()["data"]
        assert model["id"] == "all-MiniLM-L6-v2"
        for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
            assert (await client.get(f"/v1/models/{name}")).json() == model
        assert error_of(await client.get("/v1/models/gpt"), 404)["code"] == "model_not_found"
        assert (await client.get("/v1/")).json() == {"status": True}

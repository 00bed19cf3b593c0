"""text-embeddings-inference's protocol: the core's vectors, its shapes, its errors, and Chroma's client of it."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import numpy as np
import pytest
from asgi import asgi_client
from fake_engine import FakeEngine
from pydantic import ValidationError
from running import running_server

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.server.tei import EmbedRequest
from minilm_retrieval.similarity import cosine_similarity

TEXTS = ["a cat", "", "日本語 🙂 naïve", "a cat", "long " * 300]


def vectors_of(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return np.array(response.json(), dtype=np.float32)


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, type and message of an error."""
    body = response.json()
    assert set(body) == {"error", "error_type"}
    return response.status_code, body["error_type"], body["error"]


def ids_of(embedder: MiniLMEmbedder, text: str) -> list[int]:
    return [int(id) for id in embedder.tokenizer.tokenize(text, 1000).ids]


async def test_vectors_are_the_cores(embedder: MiniLMEmbedder) -> None:
    expected = embedder.encode(TEXTS)
    async with asgi_client() as client:
        for path in ("/embed", "/"):
            assert np.abs(vectors_of(await client.post(path, json={"inputs": TEXTS})) - expected).max() <= 1e-6
        one = vectors_of(await client.post("/embed", json={"inputs": "a cat"}))
        assert one.shape == (1, 384)
        assert np.abs(one - expected[:1]).max() <= 1e-6
        sequences = [ids_of(embedder, text) for text in TEXTS]
        for inputs, rows in ((sequences, slice(None)), (sequences[0], slice(0, 1))):
            found = vectors_of(await client.post("/embed", json={"inputs": inputs}))
            assert np.abs(found - expected[rows]).max() <= 1e-6


async def test_vectors_that_are_not_normalised() -> None:
    expected = MiniLMEmbedder(normalize=False).encode(["a cat", "a dog barks"])
    assert abs(np.linalg.norm(expected[0]) - 1) > 0.1
    async with asgi_client() as client:
        body = {"inputs": ["a cat", "a dog barks"], "normalize": False}
        assert np.abs(vectors_of(await client.post("/embed", json=body)) - expected).max() <= 1e-5
        normal = vectors_of(await client.post("/embed", json={**body, "normalize": True}))
        assert np.abs(np.linalg.norm(normal, axis=1) - 1).max() <= 1e-6


async def test_what_is_not_normalised_is_loaded_when_asked_for_and_stopped_with_the_server(
    fake_engine: FakeEngine,
) -> None:
    def workers() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("minilm-batch")}

    before = workers()
    async with asgi_client() as client:
        usual = workers() - before
        await client.post("/embed", json={"inputs": "a"})
        assert workers() - before == usual
        for _ in range(2):
            await client.post("/embed", json={"inputs": "a", "normalize": False})
            assert len(workers() - before) == 2 * len(usual)
    assert workers() <= before


async def test_truncation_is_a_matter_of_the_request(embedder: MiniLMEmbedder) -> None:
    words = [f"w{number}" for number in range(200)]
    long = " ".join(words)
    ids = ids_of(embedder, long)
    async with asgi_client() as client, asgi_client(on_truncate="error") as strict:
        cut = await client.post("/embed", json={"inputs": long})
        assert cut.headers["x-truncated-positions"] == "0"
        assert np.abs(vectors_of(cut) - embedder.encode([long])).max() <= 1e-6
        allowed = await strict.post("/embed", json={"inputs": long, "truncate": True})
        assert np.abs(vectors_of(allowed) - vectors_of(cut)).max() <= 1e-6
        end = [ids[0], *ids[-255:]]
        left = await client.post("/embed", json={"inputs": long, "truncation_direction": "left"})
        for inputs in (end, ids):
            body = {"inputs": [inputs], "truncation_direction": "Left"}
            assert np.abs(vectors_of(await client.post("/embed", json=body)) - vectors_of(left)).max() <= 1e-6
        for refused in (
            await strict.post("/embed", json={"inputs": long}),
            await client.post("/embed", json={"inputs": [long], "truncate": False}),
            await client.post("/embed", json={"inputs": ids, "truncate": False}),
        ):
            status, kind, message = error_of(refused)
            assert (status, kind) == (422, "Validation")
            assert f"longer than the model's 256 tokens, at position 0 ({len(ids)} tokens)" in message
            assert "truncate: true" in message


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/embed", b"{", 422, "Validation"),
        ("/embed", b"{}", 422, "Validation"),
        ("/embed", b'{"inputs": 5}', 422, "Validation"),
        ("/embed", b'{"inputs": []}', 400, "Empty"),
        ("/embed", b'{"inputs": [[]]}', 422, "Validation"),
        ("/embed", b'{"inputs": [-1]}', 422, "Validation"),
        ("/embed", b'{"inputs": [30522]}', 422, "Validation"),
        ("/embed", b'{"inputs": [[101, 4294967295]]}', 422, "Validation"),
        ("/embed", b'{"inputs": "a", "prompt_name": "query"}', 422, "Validation"),
        ("/embed", b'{"inputs": "a", "dimensions": 128}', 422, "Validation"),
        ("/embed", b'{"inputs": "a", "truncation_direction": "up"}', 422, "Validation"),
        ("/embed", b'{"inputs": ["a", "b", "c", "d"]}', 422, "Validation"),
        ("/similarity", b'{"inputs": {"source_sentence": "a", "sentences": []}}', 400, "Empty"),
        ("/similarity", b'{"inputs": "a"}', 422, "Validation"),
        ("/tokenize", b'{"inputs": []}', 400, "Empty"),
        ("/tokenize", b'{"inputs": [1]}', 422, "Validation"),
        ("/decode", b'{"ids": []}', 400, "Empty"),
        ("/decode", b'{"ids": ["a"]}', 422, "Validation"),
        ("/decode", b'{"ids": [4294967296]}', 422, "Validation"),
        ("/tokenize", b'{"inputs": "a", "prompt_name": "query"}', 422, "Validation"),
        ("/tokenize", b'{"inputs": ["a", "b", "c", "d"]}', 422, "Validation"),
    ],
)
async def test_errors(path: str, body: bytes, status: int, kind: str, fake_engine: FakeEngine) -> None:
    async with asgi_client(max_texts=3) as client:
        assert error_of(await client.post(path, content=body))[:2] == (status, kind)


async def test_an_engine_that_fails_is_a_backend_error(fake_engine: FakeEngine) -> None:
    async with asgi_client() as client:
        fake_engine.broken_rows = set(range(fake_engine._seen, fake_engine._seen + 1))
        status, kind, _ = error_of(await client.post("/embed", json={"inputs": "a"}))
        assert (status, kind) == (424, "Backend")


async def test_similarity(embedder: MiniLMEmbedder) -> None:
    body = {"inputs": {"source_sentence": "a cat", "sentences": ["a feline", "a spoon", "a cat"]}}
    vectors = embedder.encode(["a cat", "a feline", "a spoon"])
    async with asgi_client() as client:
        response = await client.post("/similarity", json=body)
    assert response.status_code == 200
    assert response.json()[:2] == pytest.approx(cosine_similarity(vectors[0], vectors[1:]).tolist(), abs=1e-6)
    assert response.json()[2] == pytest.approx(1, abs=1e-6)


async def test_tokens_have_their_bytes(embedder: MiniLMEmbedder) -> None:
    text = "Naïve 日本語, embeddings"
    async with asgi_client() as client:
        (tokens,) = (await client.post("/tokenize", json={"inputs": text})).json()
        assert [token["id"] for token in tokens] == ids_of(embedder, text)
        assert tokens[0] == {"id": 101, "text": "[CLS]", "special": True, "start": None, "stop": None}
        for token in tokens[1:-1]:
            assert not token["special"]
            assert text.encode()[token["start"] : token["stop"]].decode() == token["text"]
        bare = (await client.post("/tokenize", json={"inputs": ["a", "b"], "add_special_tokens": False})).json()
        assert [[token["text"] for token in each] for each in bare] == [["a"], ["b"]]


async def test_tokens_give_their_text(embedder: MiniLMEmbedder) -> None:
    ids = ids_of(embedder, "hello world")
    async with asgi_client() as client:
        assert (await client.post("/decode", json={"ids": ids})).json() == ["hello world"]
        both = await client.post("/decode", json={"ids": [ids, ids[1:2]], "skip_special_tokens": False})
        assert both.json() == ["[CLS] hello world [SEP]", "hello"]
        assert (await client.post("/decode", json={"ids": [4_000_000_000, ids[1]]})).json() == ["hello"]
        assert (await client.post("/decode", json={"ids": [[]]})).json() == [""]


async def test_a_special_token_in_a_text_has_its_place() -> None:
    async with asgi_client() as client:
        (tokens,) = (await client.post("/tokenize", json={"inputs": "é [SEP]"})).json()
    assert tokens[2] == {"id": 102, "text": "[SEP]", "special": False, "start": 3, "stop": 8}


async def test_tokens_have_limits() -> None:
    longest = 250 * 256
    async with asgi_client(max_tokens=1000) as client:
        for path, body, said in (
            ("/tokenize", {"inputs": ["a", "a" * (longest + 1)]}, "The input at position 1 has 64001 characters"),
            ("/decode", {"ids": [0] * (longest + 1)}, "The input at position 0 has 64001 ids"),
            ("/tokenize", {"inputs": ["a " * 499, "a " * 500]}, "1003 tokens; at most 1000"),
            ("/decode", {"ids": [[0] * 500, [0] * 501]}, "1001 tokens; at most 1000"),
        ):
            status, kind, message = error_of(await client.post(path, json=body))
            assert (status, kind) == (422, "Validation")
            assert said in message
        assert len((await client.post("/tokenize", json={"inputs": "a" * longest})).json()[0]) == 3


@pytest.mark.parametrize("item", ["1.5", "-1", "null", '["a"]'])
def test_many_wrong_items_are_one_mistake(item: str) -> None:
    with pytest.raises(ValidationError) as error:
        EmbedRequest.model_validate_json(f'{{"inputs": [{",".join([item] * 1000)}]}}')
    assert error.value.error_count() <= 4


async def test_info(embedder: MiniLMEmbedder) -> None:
    async with asgi_client(max_texts=77, on_truncate="error") as client:
        facts = (await client.get("/info")).json()
    assert facts["model_id"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert facts["model_sha"] == embedder.fingerprint
    assert (facts["max_input_length"], facts["max_client_batch_size"], facts["auto_truncate"]) == (256, 77, False)


def test_chromas_client(embedder: MiniLMEmbedder) -> None:
    from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer

    with running_server() as server:
        found = HuggingFaceEmbeddingServer(url=f"{server.url}/embed")(TEXTS)
    assert np.abs(np.array(found) - embedder.encode(TEXTS)).max() <= 1e-6

"""Chroma stores for tests."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings

TOPICS = [
    "The cat sat on the mat and purred.",
    "Dogs are loyal animals that love to play fetch.",
    "The stock market fell sharply on Monday.",
    "Investors worry about rising interest rates.",
    "Photosynthesis turns sunlight into chemical energy.",
    "Plants absorb carbon dioxide through their leaves.",
    "The chef seasoned the soup with fresh basil.",
    "Bake the bread for forty minutes until golden.",
    "The spacecraft entered orbit around Mars.",
    "Astronomers discovered a distant galaxy.",
]
LONG = " ".join(f"{text} Part {number}." for number in range(12) for text in TOPICS)


def local_client(path: Path) -> Any:
    return chromadb.PersistentClient(str(path), settings=Settings(anonymized_telemetry=False))


def fill(
    client: Any,
    name: str,
    vectors: Any,
    *,
    space: str = "cosine",
    documents: Sequence[str] | None = None,
    metadatas: list[dict[str, Any]] | None = None,
    ids: Sequence[str] | None = None,
    function: Any = None,
) -> Any:
    """Make a collection with an embedding function, or without one, and write these vectors."""
    collection = client.create_collection(name, embedding_function=function, configuration={"hnsw": {"space": space}})
    rows = np.asarray(vectors, dtype=np.float32)
    names = list(ids) if ids is not None else [f"id-{number:05}" for number in range(len(rows))]
    for start in range(0, len(rows), 5000):
        part = slice(start, start + 5000)
        collection.add(
            ids=names[part],
            embeddings=list(rows[part]),
            documents=list(documents[part]) if documents is not None else None,
            metadatas=metadatas[part] if metadatas is not None else None,
        )
    return collection


def random_vectors(count: int, dimension: int = 384, seed: int = 0) -> Any:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@contextmanager
def chroma_server(path: Path) -> Iterator[int]:
    """Run `chroma run` on a free port of this machine until the block ends."""
    with chroma_process(path) as (port, _):
        yield port


@contextmanager
def chroma_process(path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Do as `chroma_server` does, and give the process too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).with_name("chroma")
    process = subprocess.Popen(
        [str(command), "run", "--path", str(path), "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        process.wait(timeout=20)

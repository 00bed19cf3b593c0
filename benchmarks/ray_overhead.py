"""What a Ray cluster costs: two workers of one processor each against one process with two threads, in turns.

    python benchmarks/ray_overhead.py              # 20,000 short texts, 3 rounds: embedding, and indexing into a server
    python benchmarks/ray_overhead.py --texts 5000 --rounds 1

The cluster is started before; the workers of each run start within its time. Indexing is into `chroma run` on the same
two processors. Needs the extra [ray].
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from limits import short_texts

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from stores import chroma_server

from minilm_retrieval import MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.ingest import load_documents
from minilm_retrieval.scaleout import Files, Workers, connected, embed_dataset, index_files

_WORKERS = 2


def main() -> None:
    """Measure in turns, and print every round's rates and ratios, and the medians."""
    parser = argparse.ArgumentParser(description="Measure what Ray costs.")
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, connected("local") as (_, data):
        data.DataContext.get_current().enable_progress_bars = False
        folder = Path(name)
        texts = list(itertools.islice(short_texts(0), options.texts))
        file = folder / "texts.jsonl"
        file.write_text("".join(json.dumps({"id": row, "text": text}) + "\n" for row, text in enumerate(texts)))
        embedder = MiniLMEmbedder(threads=_WORKERS)
        embedder.warmup()
        with chroma_server(folder / "server") as port:
            run = _Runs(data, embedder, texts, file, port)
            _compare("embedding", options.rounds, len(texts), run.embedding, run.ray_embedding)
            _compare("indexing", options.rounds, len(texts), run.indexing, run.ray_indexing)


class _Runs:
    def __init__(self, data: Any, embedder: MiniLMEmbedder, texts: list[str], file: Path, port: int) -> None:
        self.data, self.embedder, self.texts, self.file, self.port = data, embedder, texts, file, port
        self.numbers = itertools.count()

    def embedding(self) -> int:
        return sum(len(rows) for _, rows in self.embedder.encode_stream(self.texts))

    def ray_embedding(self) -> int:
        dataset = self.data.from_items([{"text": text} for text in self.texts])
        embedded = embed_dataset(dataset, embedder=self.embedder, workers=Workers(_WORKERS))
        return sum(len(batch["embedding"]) for batch in embedded.iter_batches(batch_size=None, batch_format="pyarrow"))

    def indexing(self) -> int:
        return index_documents(self.collection(), load_documents([self.file]), self.embedder).passages_written

    def ray_indexing(self) -> int:
        report = index_files(self.collection(), Files([self.file]), self.embedder, workers=Workers(_WORKERS))
        return report.passages_written

    def collection(self) -> Any:
        name = f"run-{next(self.numbers)}"
        return open_collection(name, host="127.0.0.1", port=self.port, create=True, embedder=self.embedder)


def _compare(what: str, rounds: int, count: int, local: Callable[[], int], ray: Callable[[], int]) -> None:
    shares = []
    for number in range(rounds):
        rates = {}
        for work in (local, ray) if number % 2 == 0 else (ray, local):
            started = time.perf_counter()
            assert work() == count
            rates[work] = count / (time.perf_counter() - started)
        shares.append(rates[ray] / rates[local])
        print(f"{what}: one process {rates[local]:.0f}/s, Ray {rates[ray]:.0f}/s ({shares[-1]:.1%})", flush=True)
    print(f"{what}: median {median(shares):.1%} of one process ({min(shares):.1%} to {max(shares):.1%})", flush=True)


if __name__ == "__main__":
    main()

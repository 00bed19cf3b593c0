"""How late a 10 ms ticker is on an event loop that also embeds a thousand texts through each asynchronous method.

python benchmarks/event_loop.py
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pydoc_data.topics import topics
from statistics import median
from typing import Any

from langchain_minilm import MiniLMEmbeddings
from llama_index_minilm import MiniLMEmbedding
from minilm_retrieval import MiniLMEmbedder

_TEXTS = 1000
_TICK_SECONDS = 0.01


async def lateness(work: Callable[[], Awaitable[Any]]) -> tuple[float, list[float]]:
    """Return the seconds that the work took, and how late each tick was meanwhile."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            late.append(time.perf_counter() - due)

    ticker = asyncio.ensure_future(tick())
    await asyncio.sleep(_TICK_SECONDS)
    started = time.perf_counter()
    await work()
    seconds = time.perf_counter() - started
    ticker.cancel()
    return seconds, late


def main() -> None:
    """Measure each method, and print the latest tick."""
    options: dict[str, Any] = {"on_truncate": "ignore"}
    core = MiniLMEmbedder(**options)
    core.warmup()
    paragraphs = dict.fromkeys(paragraph for text in topics.values() for paragraph in text.split("\n\n"))
    texts = list(paragraphs)[:_TEXTS]
    methods: dict[str, Callable[[list[str]], Awaitable[Any]]] = {
        "MiniLMEmbedder.aencode": core.aencode,
        "LangChain aembed_documents": MiniLMEmbeddings(**options).aembed_documents,
        "LlamaIndex aget_text_embedding_batch": MiniLMEmbedding(**options).aget_text_embedding_batch,
    }
    for name, method in methods.items():
        seconds, late = asyncio.run(lateness(lambda method=method: method(texts)))  # type: ignore[misc]
        middle, latest = 1000 * median(late), 1000 * max(late)
        print(
            f"{name}: {len(texts)} texts in {seconds:.1f} s, {len(late)} ticks, "
            f"late by {middle:.1f} ms in the median and {latest:.1f} ms at most"
        )


if __name__ == "__main__":
    main()

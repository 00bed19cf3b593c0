"""Load from the official OpenAI client: so many requests in flight for so long.

Started by `serving.py` with a base URL, the kind of texts, the requests in flight, the texts of a request, and seconds.
Prints JSON: texts a second, and p50 and p99 of a request in milliseconds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time

import numpy as np
from openai import AsyncOpenAI
from services import load_texts

_WARMUP_SECONDS = 1.0


async def load(base: str, kind: str, in_flight: int, texts_a_request: int, seconds: float) -> dict[str, float]:
    """Keep so many requests in flight; what is answered before the first second is over does not count."""
    texts = itertools.cycle(load_texts(kind))
    started = time.perf_counter()
    times: list[float] = []

    async def one_after_the_other(client: AsyncOpenAI) -> None:
        while time.perf_counter() - started < seconds + _WARMUP_SECONDS:
            part = list(itertools.islice(texts, texts_a_request))
            asked = time.perf_counter()
            answer = await client.embeddings.create(input=part[0] if len(part) == 1 else part, model="any")
            ended = time.perf_counter()
            if len(answer.data) != texts_a_request:
                raise RuntimeError(f"{len(answer.data)} vectors for {texts_a_request} texts")
            if ended - started > _WARMUP_SECONDS:
                times.append(ended - asked)

    async with AsyncOpenAI(base_url=base, api_key="any", max_retries=0, timeout=120) as client:
        await asyncio.gather(*(one_after_the_other(client) for _ in range(in_flight)))
    counted = time.perf_counter() - started - _WARMUP_SECONDS
    p50, p99 = np.percentile(times, (50, 99)) * 1000
    return {"rate": len(times) * texts_a_request / counted, "p50": float(p50), "p99": float(p99)}


if __name__ == "__main__":
    result = asyncio.run(load(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
    print(json.dumps(result))

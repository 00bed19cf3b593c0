"""OpenAI's asynchronous client: requests in flight at the same time share the server's batches.

Run a server, "minilm serve", and then: python examples/clients/openai_async.py
"""

from __future__ import annotations

import asyncio
import os
import time

from openai import AsyncOpenAI

TEXTS = [f"Note {number}: water the plants every {number} days." for number in range(2, 34)]


async def main() -> None:
    """Ask for many texts, each in a request of its own."""
    url = os.environ.get("MINILM_URL", "http://localhost:8444/v1")
    async with AsyncOpenAI(base_url=url, api_key="any") as client:
        started = time.perf_counter()
        requests = [client.embeddings.create(model="all-MiniLM-L6-v2", input=text) for text in TEXTS]
        responses = await asyncio.gather(*requests)
        seconds = time.perf_counter() - started
    vectors = [response.data[0].embedding for response in responses]
    print(f"{len(vectors)} vectors of {len(vectors[0])} numbers in {seconds:.2f} s")


if __name__ == "__main__":
    asyncio.run(main())

"""OpenAI's own client: vectors of several texts, and the tokens that were read.

Run a server, "minilm serve", and then: python examples/clients/openai_sync.py
"""

from __future__ import annotations

import os

import numpy as np
from openai import OpenAI

TEXTS = ["How long does a cat rest?", "Cats sleep for most of the day.", "The stock market fell on Monday."]

client = OpenAI(base_url=os.environ.get("MINILM_URL", "http://localhost:8444/v1"), api_key="any")
response = client.embeddings.create(model="all-MiniLM-L6-v2", input=TEXTS)
question, *answers = np.array([row.embedding for row in response.data])
for text, answer in zip(TEXTS[1:], answers, strict=True):
    print(f"cosine {question @ answer:.3f}  {text}")
print(f"{response.usage.total_tokens} tokens")

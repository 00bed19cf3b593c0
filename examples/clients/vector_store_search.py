"""Search in a stored Chroma collection through OpenAI's client, which knows it as a vector store.

Run a server, "minilm serve --path ./chroma", and then:
python examples/clients/vector_store_search.py COLLECTION "your question"
"""

from __future__ import annotations

import os
import sys

from openai import OpenAI

collection, question = sys.argv[1:]
client = OpenAI(base_url=os.environ.get("MINILM_URL", "http://localhost:8444/v1"), api_key="any")
store = client.vector_stores.retrieve(collection)
print(f"{store.file_counts.total} passages in {store.name}")
results = client.vector_stores.search(
    vector_store_id=collection, query=question, max_num_results=3, ranking_options={"score_threshold": 0.2}
)
for result in results:
    print(f"cosine {result.score:.3f}  {result.filename}: {result.content[0].text}")

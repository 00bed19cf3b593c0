"""A LlamaIndex query engine over a Chroma collection, with this library's embedding model and retriever.

The language model is LlamaIndex's own mock, which repeats its prompt, so that this runs without a key; the line to
change for a real one is marked. Run it: python examples/llama_index_query_engine.py
"""

from __future__ import annotations

from pydoc_data.topics import topics

import chromadb
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import Document
from llama_index.vector_stores.chroma import ChromaVectorStore

from llama_index_minilm import MiniLMEmbedding, MiniLMRetriever

QUESTION = "What happens to the else clause of a loop when break is executed?"


def main() -> None:
    """Index with LlamaIndex, ask, print."""
    collection = chromadb.EphemeralClient().create_collection("python-reference")
    embedding = MiniLMEmbedding()
    # The splitter counts with the model's own tokenizer; with its default one, some nodes would be longer than the
    # model reads. A node's metadata is embedded with it, and the splitter leaves room for that.
    splitter = SentenceSplitter(chunk_size=240, chunk_overlap=20, tokenizer=embedding.tokenize)
    pipeline = IngestionPipeline(
        transformations=[splitter, embedding],
        vector_store=ChromaVectorStore(chroma_collection=collection),
    )
    names = ("for", "while", "break", "try", "with")
    pipeline.run(documents=[Document(text=topics[name], metadata={"topic": name}) for name in names])

    # For a real model: from llama_index.llms.openai import OpenAI; llm = OpenAI(...)
    llm = MockLLM()
    engine = RetrieverQueryEngine.from_args(MiniLMRetriever(collection, embedding, similarity_top_k=3), llm=llm)
    response = engine.query(QUESTION)

    print(f"Question: {QUESTION}\n")
    for hit in response.source_nodes:
        first_line = hit.node.get_content().strip().splitlines()[0]
        print(f"  cosine {hit.score:.3f}  {hit.node.metadata['topic']:6} {first_line}")
    print("\nThe prompt that the model was given begins:\n")
    print("\n".join(f"   | {line}" for line in str(response).splitlines()[:12]))


if __name__ == "__main__":
    main()

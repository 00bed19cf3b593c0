"""Retrieval-augmented generation in LangChain, over topics of the Python language reference.

The chat model is one of LangChain's own fakes, so that this runs without a key; the line to change for a real one is
marked. Run it: python examples/langchain_rag.py
"""

from __future__ import annotations

from pydoc_data.topics import topics

import chromadb
from langchain_core.documents import Document as Found
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from langchain_minilm import MiniLMRetriever
from minilm_retrieval import Document, index_documents, open_collection

QUESTION = "What happens to the else clause of a loop when break is executed?"
PROMPT = ChatPromptTemplate.from_template("Answer from these passages only.\n\n{context}\n\nQuestion: {question}")


def passages(found: list[Found]) -> str:
    """Put the documents into the prompt, each with its source."""
    return "\n\n".join(f"[{document.metadata['source']}]\n{document.page_content}" for document in found)


def main() -> None:
    """Index, ask, print."""
    collection = open_collection("python-reference", client=chromadb.EphemeralClient(), create=True)
    index_documents(collection, (Document(name, topics[name]) for name in ("for", "while", "break", "try", "with")))
    retriever = MiniLMRetriever(collection=collection, k=3)

    # For a real model: from langchain.chat_models import init_chat_model; model = init_chat_model("...")
    model = FakeListChatModel(responses=["The else clause is skipped: break ends the loop without executing it."])
    chain = (
        {"context": retriever | RunnableLambda(passages), "question": RunnablePassthrough()}
        | PROMPT
        | model
        | StrOutputParser()
    )

    print(f"Question: {QUESTION}\n")
    for document in retriever.invoke(QUESTION):
        first_line = document.page_content.strip().splitlines()[0]
        print(f"  cosine {document.metadata['score']:.3f}  {document.metadata['source']:6} {first_line}")
    print(f"\nAnswer: {chain.invoke(QUESTION)}")


if __name__ == "__main__":
    main()

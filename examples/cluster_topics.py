"""What do people ask about? Group questions, name the groups, and search within one of them.

    python examples/cluster_topics.py

Needs `pip install "minilm-retrieval[analysis,chroma]"`. Writes each question's group into the metadata of its record.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.analysis import cluster_texts, texts_of_collection, write_clusters

QUESTIONS = [
    "How do I reset my password?",
    "I forgot my password and cannot log in.",
    "The password link in the email has expired.",
    "My password is not accepted any more.",
    "When will my parcel arrive?",
    "The parcel arrived damaged.",
    "Can I send the parcel to another address?",
    "My parcel has not been delivered yet.",
    "Can I get a copy of my invoice?",
    "The invoice has the wrong amount.",
    "Where do I find the invoice of last month?",
    "My company needs an invoice with its tax number.",
]

with TemporaryDirectory(ignore_cleanup_errors=True) as folder, MiniLMEmbedder() as embedder:
    collection = open_collection("questions", path=Path(folder, "chroma"), create=True, embedder=embedder)
    index_documents(collection, [Document(f"question {row}", text) for row, text in enumerate(QUESTIONS)], embedder)

    # The vectors that are stored are used; nothing is embedded again.
    texts = texts_of_collection(collection)
    found = cluster_texts(texts, clusters=3)
    for cluster in found.clusters:
        print(f"{cluster.size} questions: {cluster.name}. Such as: {texts.texts[cluster.central]}")

    report = write_clusters(collection, texts, found, "topic")
    print(f"{report.written} records now have the fields {report.field} and {report.name_field}.")

    topic = next(cluster for cluster in found.clusters if "parcel" in cluster.name)
    for hit in Retriever(collection, embedder).search("It came broken.", k=2, where={"topic": topic.number}):
        print(f"In {topic.name!r}, cosine {hit.score:.3f}: {hit.document}")

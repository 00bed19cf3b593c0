"""The embedders that are compared, each set up as a user who knows it would on a processor with a thread budget.

A class imports its library when it is constructed, so that a worker process loads one library and no other.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from export_onnx import chroma_download_path, fastembed_model_path

from minilm_retrieval.bench.contenders import limit_onnxruntime


class Peer(ABC):
    """An embedder.

    Attributes:
        name: How the tables call it.
        module: The module whose presence means that the peer is installed.
        setup: How it is configured, for the report; N stands for the number of threads.
        reads_onnx: Whether it needs the exported ONNX files.
        slow: Whether it would take minutes for all texts, and is timed on some of each set.
        embed: Embeds texts; one vector each, in whatever form of array or list the peer gives them.
        embed_query: Embeds one text the way a search does.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    setup: ClassVar[str]
    reads_onnx: ClassVar[bool] = False
    slow: ClassVar[bool] = False
    embed: Callable[[list[str]], Any]
    embed_query: Callable[[str], Any]

    @abstractmethod
    def __init__(self, threads: int, model: Path, onnx: Path) -> None:
        """Load.

        Args:
            threads: How many threads the peer may use.
            model: The model's directory: safetensors weights and tokenizer.
            onnx: The directory written by :func:`export_onnx.export`.
        """

    @classmethod
    def installed(cls) -> bool:
        """Tell whether the peer can be imported."""
        try:
            return importlib.util.find_spec(cls.module) is not None
        except ModuleNotFoundError:
            return False


class MiniLMRetrieval(Peer):
    """This library."""

    name = "minilm-retrieval"
    module = "minilm_retrieval.embedder"
    setup = "`MiniLMEmbedder(threads=N)`: every default, so OpenVINO in float32. `encode(texts)`, `encode(query)`."

    def __init__(self, threads: int, model: Path, onnx: Path) -> None:
        from minilm_retrieval import MiniLMEmbedder

        embedder = MiniLMEmbedder(threads=threads)
        self.embed = embedder.encode
        self.embed_query = embedder.encode


class MiniLMInBfloat16(Peer):
    """This library, where the processor computes with bfloat16."""

    name = "minilm-retrieval, bfloat16"
    module = "minilm_retrieval.embedder"
    setup = '`MiniLMEmbedder(precision="bfloat16", threads=N)`. `encode(texts)`, `encode(query)`.'
    precision: ClassVar[str] = "bfloat16"

    def __init__(self, threads: int, model: Path, onnx: Path) -> None:
        from minilm_retrieval import MiniLMEmbedder

        embedder = MiniLMEmbedder(precision=self.precision, threads=threads)
        self.embed = embedder.encode
        self.embed_query = embedder.encode

    @classmethod
    def installed(cls) -> bool:
        """Tell whether the processor has the instructions."""
        from minilm_retrieval.engines.openvino import has_bfloat16

        return cls.precision != "bfloat16" or has_bfloat16()


class MiniLMInInt8(MiniLMInBfloat16):
    """This library with 8-bit weights."""

    name = "minilm-retrieval, int8"
    setup = '`MiniLMEmbedder(precision="int8", threads=N)`. `encode(texts)`, `encode(query)`.'
    precision = "int8"


class MiniLMInLangChain(Peer):
    """This library's LangChain class."""

    name = "LangChain MiniLMEmbeddings"
    module = "langchain_core"
    setup = "`MiniLMEmbeddings(threads=N)`, which is this library. `embed_documents`, `embed_query`."

    def __init__(self, threads: int, model: Path, onnx: Path) -> None:
        from langchain_minilm import MiniLMEmbeddings

        embeddings = MiniLMEmbeddings(threads=threads)
        self.embed = embeddings.embed_documents
        self.embed_query = embeddings.embed_query


class MiniLMInLlamaIndex(Peer):
    """This library's LlamaIndex class."""

    name = "LlamaIndex MiniLMEmbedding"
    module = "llama_index.core"
    setup = "`MiniLMEmbedding(threads=N)`, which is this library. `get_text_embedding_batch`, `get_query_embedding`."

    def __init__(self, threads: int, model: Path, onnx: Path) -> None:
        from llama_index_minilm import MiniLMEmbedding

        embedding = MiniLMEmbedding(threads=threads)
        self.embed = embedding.get_text_embedding_batch
        self.embed_query = embedding.get_query_embedding


class SentenceTransformers(Peer):
    """The library that the model was published with: the reference for vectors and for speed."""

    name = "sentence-transformers"
    module = "sentence_transformers"
    setup = (
        '`SentenceTransformer(directory, device="cpu")` with its defaults: torch, float32, batches of 32 sorted by '
        "length. `torch.set_num_threads(N)`. `encode(texts)`, `encode(query)`."
    )

    def __init__(self, threads: int, model: Path, onnx: Path) -> None:
        from sentence_transformers import SentenceTransformer

        _limit_torch(threads)
        encoder = SentenceTransformer(str(model), device="cpu")
        self.embed = encoder.encode
        self.embed_query = encoder.encode


class LangChainHuggingFace(Peer):
    """LangChain over sentence-transformers."""

    name = "LangChain HuggingFaceEmbeddings"
    module = "langchain_huggingface"
    setup = (
        '`HuggingFaceEmbeddings(model_name=directory, model_kwargs={"device": "cpu"})`, otherwise its defaults, '
        "which are those of sentence-transformers. `torch.set_num_threads(N)`. `embed_documents`, `embed_query`."
    )

    def __init__(self, threads: int, model: Path, onnx: Path) -> None:
        from langchain_huggingface import HuggingFaceEmbeddings

        _limit_torch(threads)
        embeddings = HuggingFaceEmbeddings(model_name=str(model), model_kwargs={"device": "cpu"})
        self.embed = embeddings.embed_documents
        self.embed_query = embeddings.embed_query


class LlamaIndexHuggingFace(Peer):
    """LlamaIndex over sentence-transformers."""

    name = "LlamaIndex HuggingFaceEmbedding"
    module = "llama_index.embeddings.huggingface"
    setup = (
        '`HuggingFaceEmbedding(model_name=directory, device="cpu", embed_batch_size=32)`: 32 in place of its 10, to '
        "have sentence-transformers' own batches. `torch.set_num_threads(N)`. `get_text_embedding_batch`, "
        "`get_query_embedding`."
    )

    def __init__(self, threads: int, model: Path, onnx: Path) -> None:
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding

        _limit_torch(threads)
        embedding = HuggingFaceEmbedding(model_name=str(model), device="cpu", embed_batch_size=32)
        self.embed = embedding.get_text_embedding_batch
        self.embed_query = embedding.get_query_embedding


class ChromaDefault(Peer):
    """What a Chroma collection embeds with unless it is told otherwise."""

    name = "Chroma DefaultEmbeddingFunction"
    module = "chromadb.utils.embedding_functions"
    setup = (
        "`DefaultEmbeddingFunction()` as a collection calls it. It loads the model anew on every call and pads every "
        "text to 256 tokens; both are its own doing. It has no option for threads: N is set on onnxruntime's "
        "`SessionOptions`. `function(texts)`, `function([query])`."
    )
    reads_onnx = True
    slow = True
    function: ClassVar[str] = "DefaultEmbeddingFunction"

    def __init__(self, threads: int, model: Path, onnx: Path) -> None:
        limit_onnxruntime(threads)
        from chromadb.utils import embedding_functions

        embedding_functions.ONNXMiniLM_L6_V2.DOWNLOAD_PATH = chroma_download_path(onnx)
        function: Any = getattr(embedding_functions, self.function)()
        self.embed = function
        self.embed_query = lambda query: function([query])


class ChromaKept(ChromaDefault):
    """The function behind Chroma's default, held by the user."""

    name = "Chroma ONNXMiniLM_L6_V2"
    setup = "`ONNXMiniLM_L6_V2()`, made once and kept, so that the model is loaded once. Otherwise as above."
    function = "ONNXMiniLM_L6_V2"


class FastEmbed(Peer):
    """Qdrant's embedder."""

    name = "fastembed TextEmbedding"
    module = "fastembed"
    setup = (
        '`TextEmbedding("sentence-transformers/all-MiniLM-L6-v2", specific_model_path=directory, threads=N)`, with '
        "256 tokens in the tokenizer's files in place of 128 and padding to the longest text of a batch. "
        "`embed(texts, batch_size=8)`: it does not sort by length, so its default of 256 pads nearly everything to the "
        "longest text and is slower on all but short texts. `query_embed(query)`."
    )
    reads_onnx = True

    def __init__(self, threads: int, model: Path, onnx: Path) -> None:
        from fastembed import TextEmbedding

        directory = str(fastembed_model_path(onnx))
        name = "sentence-transformers/all-MiniLM-L6-v2"
        embedding = TextEmbedding(name, specific_model_path=directory, threads=threads)
        self.embed = lambda texts: list(embedding.embed(texts, batch_size=8))
        self.embed_query = lambda query: next(iter(embedding.query_embed(query)))


PEERS: dict[str, type[Peer]] = {
    "minilm": MiniLMRetrieval,
    "minilm-bfloat16": MiniLMInBfloat16,
    "minilm-int8": MiniLMInInt8,
    "minilm-langchain": MiniLMInLangChain,
    "minilm-llama-index": MiniLMInLlamaIndex,
    "sentence-transformers": SentenceTransformers,
    "langchain": LangChainHuggingFace,
    "llama-index": LlamaIndexHuggingFace,
    "chroma-default": ChromaDefault,
    "chroma-kept": ChromaKept,
    "fastembed": FastEmbed,
}


def load(peer: str, threads: str, model: str, onnx: str) -> Peer:
    """Make a peer, from the arguments of a command line."""
    return PEERS[peer](int(threads), Path(model), Path(onnx))


def _limit_torch(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)

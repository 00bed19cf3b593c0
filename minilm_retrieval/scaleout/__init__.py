"""More than one machine: embedding and indexing on a Ray cluster."""

from minilm_retrieval.scaleout.cluster import Workers, connected
from minilm_retrieval.scaleout.embedding import embed_dataset
from minilm_retrieval.scaleout.equipment import Splitting
from minilm_retrieval.scaleout.files import Files, embed_files, index_files

__all__ = ["Files", "Splitting", "Workers", "connected", "embed_dataset", "embed_files", "index_files"]

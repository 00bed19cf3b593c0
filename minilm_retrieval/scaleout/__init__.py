"""More than one machine: embedding and indexing on a Ray cluster."""

from minilm_retrieval.scaleout.cluster import Workers, connected
from minilm_retrieval.scaleout.indexing import index_files

__all__ = ["Workers", "connected", "index_files"]

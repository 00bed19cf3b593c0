"""Engines turn batches of token ids into vectors; everything else happens once, above them."""

from minilm_retrieval.engines.cache import EngineKey, close_engine, get_engine, load_with_runtime
from minilm_retrieval.engines.engine import Engine

__all__ = ["Engine", "EngineKey", "close_engine", "get_engine", "load_with_runtime"]

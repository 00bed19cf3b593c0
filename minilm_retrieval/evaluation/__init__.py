"""How good vectors are: judged similarity of sentences, and retrieval with judged answers."""

from minilm_retrieval.evaluation.bootstrap import Comparison, Estimate
from minilm_retrieval.evaluation.encoders import (
    Encoder,
    load_sentence_transformer,
    supported_precisions,
    unsupported_precisions,
)
from minilm_retrieval.evaluation.retrieval import RetrievalReport, evaluate_retrieval
from minilm_retrieval.evaluation.sts import StsReport, evaluate_sts

__all__ = [
    "Comparison",
    "Encoder",
    "Estimate",
    "RetrievalReport",
    "StsReport",
    "evaluate_retrieval",
    "evaluate_sts",
    "load_sentence_transformer",
    "supported_precisions",
    "unsupported_precisions",
]

"""Measure this engine on the user's own machine, next to what is installed beside it."""

from minilm_retrieval.bench.measurement import BenchReport, Figures, measure

__all__ = ["BenchReport", "Figures", "measure"]

"""Measure this engine on the user's own machine, next to what is installed beside it."""

from minilm_retrieval.bench.bench import BenchReport, Figures, bench

__all__ = ["BenchReport", "Figures", "bench"]

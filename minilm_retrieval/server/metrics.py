"""What Prometheus is told; each server counts for itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from minilm_retrieval.server.batcher import Batcher

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS = (16, 32, 64, 128, 256, 384, 512, 1024, 4096, 16384, 32768)


class Metrics:
    """The server's numbers; also what the batcher reports to."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter("minilm_requests", "Requests answered.", ("route", "status"), registry=self._registry)
        self._latency = Histogram(
            "minilm_request_seconds",
            "Seconds from a request's arrival to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._texts = Counter("minilm_texts", "Texts embedded for requests.", registry=self._registry)
        self._tokens = Counter("minilm_tokens", "Tokens of those texts that the model read.", registry=self._registry)
        self._truncated = Counter("minilm_truncated_texts", "Texts of which the end was cut.", registry=self._registry)
        self._wait = Histogram(
            "minilm_queue_seconds", "Seconds that texts waited.", buckets=_SECONDS, registry=self._registry
        )
        self._batch_seconds = Histogram(
            "minilm_batch_seconds", "Seconds that a batch took.", buckets=_SECONDS, registry=self._registry
        )
        self._batch_texts = Histogram(
            "minilm_batch_texts", "Texts in a batch.", buckets=_TEXTS, registry=self._registry
        )
        self._batch_tokens = Histogram(
            "minilm_batch_tokens", "Tokens in a batch.", buckets=_TOKENS, registry=self._registry
        )
        self._waiting_requests = Gauge("minilm_queue_requests", "Requests that wait.", registry=self._registry)
        self._waiting_texts = Gauge("minilm_queue_texts", "Texts that wait.", registry=self._registry)
        self._batchers: list[Batcher] = []
        self._waiting_requests.set_function(lambda: sum(each.waiting_requests for each in self._batchers))
        self._waiting_texts.set_function(lambda: sum(each.waiting_texts for each in self._batchers))

    def watch(self, batcher: Batcher) -> None:
        """Read the length of the queue from this batcher too, whenever it is asked for."""
        self._batchers.append(batcher)

    def waited(self, seconds: float) -> None:
        """Take note of how long a text waited before it was computed."""
        self._wait.observe(seconds)

    def computed(self, seconds: float, texts: int, tokens: int) -> None:
        """Take note of a batch."""
        self._batch_seconds.observe(seconds)
        self._batch_texts.observe(texts)
        self._batch_tokens.observe(tokens)

    def embedded(self, texts: int, tokens: int, truncated: int) -> None:
        """Take note of what a request had embedded."""
        self._texts.inc(texts)
        self._tokens.inc(tokens)
        if truncated:
            self._truncated.inc(truncated)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Take note of a request that was answered."""
        self._requests.labels(route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return all numbers in Prometheus' text format."""
        return generate_latest(self._registry)

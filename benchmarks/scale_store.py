"""A growing collection in a Chroma server, measured at each of some sizes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from processors import Processors
from scale_texts import Corpus

from minilm_retrieval import Retriever

K = 10
READERS = 16
WIDER = 200
_NARROW = 100
_WRITE_BATCH = 1000
_RECALL_QUERIES = 500
_WARM_UP = 50
_ID_WIDTH = 52
# A float32 score may differ from the exact one by so much; neighbours within it count as tied.
_TIE = 1e-6
_TICKS = os.sysconf("SC_CLK_TCK")

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Point:
    """What was measured at one size; each attribute is a column of the table. Times in milliseconds, sizes in MB.

    Attributes:
        passages: How many are stored.
        write_rate: Passages a second, from the size before to this one.
        write_server_ms: The server's processor time a passage, from the size before to this one.
        write_client_ms: The writer's.
        disk_mb: The server's directory.
        memory_mb: The server's resident memory after these writes and all queries, before the scan.
        p50_1: Median of one reader's queries.
        p99_1: 99 of 100 of them are faster.
        p50_16: Likewise, of sixteen readers at the same time.
        p99_16: Likewise.
        queries_16: Queries a second of the sixteen together.
        query_server_ms: The server's processor time a query of theirs.
        recall: Share of the true ten nearest among Chroma's ten.
        recall_200: With ``ef_search`` 200 in place of 100.
        p50_200: Median of one reader's queries then.
        retriever_p50: Median of one reader's calls of ``Retriever.search_vectors``.
        retriever_p99: 99 of 100 of them are faster.
        retriever_recall: Share of the true ten nearest among its ten.
        memory_loaded_mb: The server's resident memory, started again, after 1,000 queries.
        restart_s: Seconds from its start until its first answer, for which it reads the index.
        others_share: Share of the processors' time that other programs took meanwhile; ``nan`` where unknown.
        scan_s: Seconds of one query with ``exact=True``; ``nan`` where it was not asked for.
    """

    passages: int
    write_rate: float
    write_server_ms: float
    write_client_ms: float
    disk_mb: float
    memory_mb: float
    p50_1: float
    p99_1: float
    p50_16: float
    p99_16: float
    queries_16: float
    query_server_ms: float
    recall: float
    recall_200: float
    p50_200: float
    retriever_p50: float
    retriever_p99: float
    retriever_recall: float
    memory_loaded_mb: float
    restart_s: float
    others_share: float
    scan_s: float = np.nan


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        sizes: Of the collection, ascending.
        single: Queries of the one reader.
        many: Queries of the sixteen readers together.
        scans: Sizes at which one query is answered by reading every vector.
        seconds: No further size is begun after so long.
    """

    sizes: list[int]
    single: int
    many: int
    scans: list[int]
    seconds: float


@dataclass(frozen=True)
class Served:
    """A server that runs, and the collection in it.

    Attributes:
        collection: Of a client of the server.
        retriever: Over it.
        pid: The server's process.
    """

    collection: Any
    retriever: Retriever
    pid: int


def grow(
    serve: Callable[[], AbstractContextManager[Served]], corpus: Corpus, plan: Plan, folder: Path
) -> Iterator[Point]:
    """Write the passages and yield what is measured at each size.

    Args:
        serve: Starts a server, always over the same directory, and stops it.
        corpus: Passages, at least as many as the largest size, and queries.
        plan: How much to measure.
        folder: The server's directory.
    """
    began = time.monotonic()
    stored = 0
    asked = corpus.queries[:_RECALL_QUERIES]
    for size in plan.sizes:
        if time.monotonic() - began > plan.seconds:
            print(f"{plan.seconds / 60:g} minutes are over; {size} passages and more are left out", flush=True)
            return
        processors = Processors(usable_processors(), patience=0)
        vectors = corpus.vectors[:size]
        least = _least_scores(vectors, asked)
        recall = partial(_recall, vectors, asked, least)
        with serve() as served:
            figures = {**_write(served, corpus, stored, size), **_read(served, corpus, plan, recall)}
            figures["memory_mb"] = _resident(served.pid)
            figures["disk_mb"] = sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file()) / 1e6
            if size in plan.scans:
                search = partial(served.retriever.search_vectors, asked[0], K, exact=True)
                figures["scan_s"] = _seconds(search)
            served.collection.modify(configuration={"hnsw": {"ef_search": WIDER}})
        # A server goes by a new ef_search once it reads the index again.
        started = time.perf_counter()
        with serve() as served:
            _ask(served.collection, asked[0])
            figures["restart_s"] = time.perf_counter() - started
            figures["recall_200"] = recall([_ask(served.collection, query) for query in asked])
            times, _ = _timed_queries(partial(_ask, served.collection), asked, 1)
            figures["p50_200"] = float(np.median(times))
            figures["memory_loaded_mb"] = _resident(served.pid)
            served.collection.modify(configuration={"hnsw": {"ef_search": _NARROW}})
        others = processors.others_share()
        figures["others_share"] = np.nan if others is None else others
        yield Point(passages=size, **figures)
        stored = size


def _read(served: Served, corpus: Corpus, plan: Plan, recall: Callable[[list[list[str]]], float]) -> dict[str, float]:
    """Return the figures of queries: of one reader, of many, and through the retriever."""
    queries = corpus.queries
    ask, search = partial(_ask, served.collection), partial(served.retriever.search_vectors, k=K)
    for query in queries[-_WARM_UP:]:
        ask(query)
        search(query)
    single, _ = _timed_queries(ask, queries[: plan.single], 1)
    used = _processor_seconds(served.pid)
    many, rate = _timed_queries(ask, queries[: plan.many], READERS)
    used = _processor_seconds(served.pid) - used
    through, _ = _timed_queries(search, queries[: plan.single], 1)
    asked = queries[:_RECALL_QUERIES]
    return {
        "p50_1": float(np.percentile(single, 50)),
        "p99_1": float(np.percentile(single, 99)),
        "p50_16": float(np.percentile(many, 50)),
        "p99_16": float(np.percentile(many, 99)),
        "queries_16": rate,
        "query_server_ms": used / len(many) * 1000,
        "recall": recall([ask(query) for query in asked]),
        "retriever_p50": float(np.percentile(through, 50)),
        "retriever_p99": float(np.percentile(through, 99)),
        "retriever_recall": recall([[hit.id for hit in search(query)[0]] for query in asked]),
    }


def usable_processors() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write(served: Served, corpus: Corpus, start: int, end: int) -> dict[str, float]:
    """Write passages as indexing does; return the rate, and the processor time of server and writer for each."""
    began, server, client = time.perf_counter(), _processor_seconds(served.pid), time.process_time()
    for first in range(start, end, _WRITE_BATCH):
        rows = range(first, min(first + _WRITE_BATCH, end))
        served.collection.upsert(
            ids=[f"minilm-{row:0{_ID_WIDTH}}" for row in rows],
            embeddings=corpus.vectors[rows.start : rows.stop],
            documents=corpus.texts[rows.start : rows.stop],
            metadatas=[{"source": f"text {row}", "start": 0, "end": len(corpus.texts[row])} for row in rows],
        )
    count = end - start
    return {
        "write_rate": count / (time.perf_counter() - began),
        "write_server_ms": (_processor_seconds(served.pid) - server) / count * 1000,
        "write_client_ms": (time.process_time() - client) / count * 1000,
    }


def _ask(collection: Any, query: Vectors) -> list[str]:
    """Return the ids that Chroma finds; texts and metadata come with them, as by default."""
    ids: list[str] = collection.query(query_embeddings=[query], n_results=K)["ids"][0]
    return ids


def _timed_queries(ask: Callable[[Vectors], object], queries: Vectors, readers: int) -> tuple[list[float], float]:
    """Return each query's milliseconds, and queries a second of all readers together."""
    began = time.perf_counter()
    with ThreadPoolExecutor(readers) as pool:
        times = list(pool.map(lambda query: _seconds(lambda: ask(query)) * 1000, queries))
    return times, len(queries) / (time.perf_counter() - began)


def _least_scores(vectors: Vectors, queries: Vectors) -> Vectors:
    """Return for each query the cosine of its tenth nearest vector, over all of them."""
    return np.array([np.partition(vectors @ query, -K)[-K] for query in queries], dtype=np.float32)


def _recall(vectors: Vectors, queries: Vectors, least: Vectors, answers: list[list[str]]) -> float:
    """Return the share of the ten nearest that was found; of equals at the end, any counts."""
    found = 0
    for query, bound, ids in zip(queries, least, answers, strict=True):
        rows = [int(id.removeprefix("minilm-")) for id in set(ids)]
        found += int((vectors[rows] @ query >= bound - _TIE).sum())
    return found / (K * len(queries))


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used: fields 14 and 15 of proc(5)'s stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6

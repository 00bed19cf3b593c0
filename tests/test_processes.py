"""Processes: an embedder works in the children of ``fork`` and ``spawn``, whatever the parent was doing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from subprocesses import clean_environment, run_python

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

FORK = """
import faulthandler, os, sys, threading
import numpy as np
from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import EngineError

backend = sys.argv[1]
embedder = MiniLMEmbedder(backend=backend, device="cpu", on_truncate="ignore")
texts = [f"text {number} " + "word " * (2 * number) for number in range(24)]
expected = embedder.encode(texts)
stop, begun = threading.Event(), threading.Semaphore(0)

def go_on():
    while not stop.is_set():
        begun.release()
        embedder.encode(texts)

def child():
    faulthandler.dump_traceback_later(20, exit=True)
    several, one = embedder.encode(texts), embedder.encode(texts[7])
    another = MiniLMEmbedder(backend=backend, device="cpu").encode("text")
    embedder.close()
    fine = np.abs(several - expected).max() <= 1e-6 and np.abs(one - expected[7]).max() <= 1e-5
    return 0 if fine and another.shape == (384,) else 3

def fork():
    pid = os.fork()
    if pid:
        return pid
    status = 4
    try:
        status = child()
    except EngineError as error:
        print(error, file=sys.stderr)
        status = 5
    finally:
        os._exit(status)

for busy in (0, 3):
    threads = [threading.Thread(target=go_on) for _ in range(busy)]
    for thread in threads:
        thread.start()
    for thread in threads * 2:
        begun.acquire()
    children = [fork() for _ in range(3)]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    stop.set()
    for thread in threads:
        thread.join()
    still = np.abs(embedder.encode(texts) - expected).max() <= 1e-6
    print(busy, "busy threads:", statuses, still, flush=True)
    stop.clear()
"""


def forked(backend: str) -> list[str]:
    """Return what became of the children of a parent without and with threads that embed."""
    lines = run_python(FORK, backend, timeout=150).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["0 busy threads", "3 busy threads"]
    return [line.partition(": ")[2] for line in lines]


@needs_fork
def test_children_embed_after_the_parent_did() -> None:
    assert forked("openvino") == ["[0, 0, 0] True"] * 2


@needs_fork
def test_children_of_a_parent_with_torch_embed_or_say_why_not() -> None:
    """torch's own threads do not survive ``fork``; then an EngineError says so, and nothing hangs or crashes."""
    pytest.importorskip("sentence_transformers")
    assert set(forked("torch")) <= {"[0, 0, 0] True", "[5, 5, 5] True"}


def test_an_interpreter_that_ends_waits_for_no_engine() -> None:
    """A first call as late as this fails as any import does then, which Python says on standard error."""
    output = run_python(
        """
        from minilm_retrieval import MiniLMEmbedder
        embedder = MiniLMEmbedder()
        class Late:
            def __del__(self):
                print("late", flush=True)
                embedder.encode("text")
        late = Late()
        """,
        timeout=60,
    )
    assert output.strip() == "late"


def test_an_embedder_sent_elsewhere_finds_out_its_threads_there() -> None:
    output = run_python(
        """
        import os, pickle
        from minilm_retrieval import MiniLMEmbedder
        os.environ["MINILM_THREADS"] = "2"
        embedder = MiniLMEmbedder()
        embedder.encode("text")
        sent = pickle.dumps(embedder)
        os.environ["MINILM_THREADS"] = "1"
        other = pickle.loads(sent)
        print(embedder.threads, embedder.quietly().threads, other.threads)
        """
    )
    assert output.split() == ["2", "2", "1"]


def test_the_environment_sets_torchs_threads_and_nothing_else_does() -> None:
    pytest.importorskip("sentence_transformers")
    script = """
        import torch
        torch.set_num_threads(3)
        from minilm_retrieval import MiniLMEmbedder
        MiniLMEmbedder(backend="torch", device="cpu").encode("text")
        print(torch.get_num_threads())
        """
    assert run_python(script, MINILM_THREADS="1").strip() == "1"
    assert run_python(script).strip() == "3"


MAIN = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import numpy as np
from minilm_retrieval import MiniLMEmbedder

embedder = MiniLMEmbedder(on_truncate="ignore")

def embed(texts):
    return embedder.encode(texts)

if __name__ == "__main__":
    work = [[f"part {part} text {number} " + "word " * number for number in range(20)] for part in range(6)]
    expected = [embed(texts) for texts in work]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(sys.argv[1])) as pool:
        got = list(pool.map(embed, work, timeout=90))
    print(max(np.abs(one - other).max() for one, other in zip(got, expected)) <= 1e-6)
"""


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_a_pool_of_processes(tmp_path: Path, method: str) -> None:
    if method != "spawn" and not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    main = tmp_path / "main.py"
    main.write_text(MAIN)
    finished = subprocess.run(
        [sys.executable, str(main), method], env=clean_environment({}), capture_output=True, text=True, timeout=120
    )
    assert finished.stdout.strip() == "True", finished.stderr[-3000:]


def test_an_embedder_survives_pickle() -> None:
    """As ``ProcessPoolExecutor`` sends it to a worker; the worker makes its own engine."""
    output = run_python(
        """
        import pickle
        import numpy as np
        from minilm_retrieval import MiniLMEmbedder
        embedder = MiniLMEmbedder(max_seq_length=128, normalize=False, on_truncate="ignore")
        vector = embedder.encode("text")
        other = pickle.loads(pickle.dumps(embedder))
        print(np.abs(other.encode("text") - vector).max() <= 1e-6, other.fingerprint == embedder.fingerprint)
        """
    )
    assert output.strip() == "True True"

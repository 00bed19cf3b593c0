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


@needs_fork
def test_a_fork_while_another_thread_loads_the_model() -> None:
    output = run_python(
        """
        import faulthandler, os, threading
        from minilm_retrieval import MiniLMEmbedder
        thread = threading.Thread(target=lambda: MiniLMEmbedder().encode("text"))
        thread.start()
        statuses = []
        while thread.is_alive() and len(statuses) < 4:
            pid = os.fork()
            if pid == 0:
                faulthandler.dump_traceback_later(20, exit=True)
                os._exit(0 if MiniLMEmbedder().encode("text").shape == (384,) else 3)
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        thread.join()
        print(statuses, MiniLMEmbedder().encode("text").shape)
        """
    )
    assert output.strip().startswith("[0")
    assert set(output.partition("]")[0].lstrip("[").split(", ")) == {"0"}
    assert output.strip().endswith("(384,)")


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


@needs_fork
@pytest.mark.parametrize("child", ["pass", "embedder.encode('text')", "del stream", "list(stream)"])
def test_a_forked_child_ends_as_any_process_does(child: str) -> None:
    """The parent's engine must not be freed in the child, nor waited for: its threads do not exist there."""
    output = run_python(
        f"""
        import faulthandler, os, sys
        import minilm_retrieval.pipeline
        from minilm_retrieval import MiniLMEmbedder
        from minilm_retrieval.errors import EngineError
        minilm_retrieval.pipeline._CHUNK_TEXTS = 40
        embedder = MiniLMEmbedder()
        embedder.warmup()
        stream = embedder.encode_stream(f"text {{number}} " * 50 for number in range(160))
        # The next chunk is with the engine when this one is given.
        next(stream)
        pid = os.fork()
        if pid == 0:
            faulthandler.dump_traceback_later(30, exit=True)
            try:
                {child}
            except EngineError:
                pass
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert output.strip().splitlines()[-1] == "0"

"""``fork`` at odd moments: while an engine is loaded, with a stream under way, and the end of the child."""

from __future__ import annotations

import os

import pytest
from subprocesses import run_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


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


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3, 0.6])
def test_a_fork_at_any_moment_of_loading(delay: float) -> None:
    """The locks that the loading thread holds, such as those of imports, would never be given back in the child."""
    output = run_python(
        f"""
        import faulthandler, os, threading, time
        from minilm_retrieval import MiniLMEmbedder
        embedder = MiniLMEmbedder()
        thread = threading.Thread(target=lambda: embedder.encode("text"))
        thread.start()
        time.sleep({delay})
        pid = os.fork()
        if pid == 0:
            faulthandler.dump_traceback_later(30, exit=True)
            os._exit(0 if embedder.encode("text").shape == (384,) else 3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        thread.join()
        """
    )
    assert output.strip() == "0"


def test_a_child_that_could_not_wait_says_so() -> None:
    output = run_python(
        """
        import os, threading
        from minilm_retrieval import MiniLMEmbedder
        from minilm_retrieval.engines import forks
        from minilm_retrieval.errors import EngineError
        forks._PATIENCE = 0.1
        loads, forked = threading.Event(), threading.Event()
        def load():
            with forks.loading():
                loads.set()
                forked.wait()
        thread = threading.Thread(target=load)
        thread.start()
        loads.wait()
        pid = os.fork()
        if pid == 0:
            try:
                MiniLMEmbedder().encode("text")
            except EngineError as error:
                os._exit(0 if "Call warmup() before you fork" in str(error) else 3)
            os._exit(4)
        forked.set()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert output.strip() == "0"


def test_a_child_may_drop_the_stream_of_a_closed_embedder() -> None:
    output = run_python(
        """
        import faulthandler, gc, os
        from minilm_retrieval import MiniLMEmbedder
        with MiniLMEmbedder() as embedder:
            stream = embedder.encode_stream(["a", "b c"])
            next(stream)
        pid = os.fork()
        if pid == 0:
            faulthandler.dump_traceback_later(30, exit=True)
            del stream
            gc.collect()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert output.strip() == "0"


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

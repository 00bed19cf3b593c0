"""The inference requests of a compiled OpenVINO model."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import numpy as np

from minilm_retrieval.batching import Batch
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.engines.forks import keep_for_ever
from minilm_retrieval.engines.freed_memory import give_back_freed_memory
from minilm_retrieval.engines.layouts import Inputs
from minilm_retrieval.engines.runtime import ov
from minilm_retrieval.errors import EngineError

Fill = Callable[[Batch], Inputs]
_Running = tuple[ov.InferRequest, Inputs]


class Requests:
    """The inference requests of one compiled model, shared by all threads of the process.

    Nobody ever waits for a request of somebody else: where none is free, another is made, which costs little, since the
    memory of a computation belongs to the stream that runs it. So the caller's own code, which may embed something
    itself while batches are taken from it, cannot be waited for in a circle.
    """

    def __init__(self, compiled: ov.CompiledModel, inputs: Fill, streams: int) -> None:
        self._compiled = compiled
        self._inputs = inputs
        # One more than can run, so that no stream waits for its next batch.
        self._in_flight = streams + 1
        self._free: deque[ov.InferRequest] = deque(maxlen=2 * self._in_flight)
        self._lengths: set[int] = set()

    def run(self, batches: Iterable[Batch]) -> Iterator[FloatArray]:
        """Yield the vectors of each batch, in the order of the batches; some are begun before they are asked for.

        Raises:
            EngineError: A batch failed, or the process was forked meanwhile.
        """
        # With each request its inputs, which it reads without keeping them alive.
        running: deque[_Running] = deque()
        process = os.getpid()
        try:
            for batch in batches:
                if len(running) == self._in_flight:
                    yield self._finish(running)
                    _refuse_after_fork(process)
                running.append(self._start(batch))
            while running:
                yield self._finish(running)
                _refuse_after_fork(process)
        finally:
            if os.getpid() == process:
                # Their results are not wanted any more, nor is a failure of theirs.
                for request, _ in running:
                    with suppress(RuntimeError):
                        request.wait()
            else:
                # A fork has come between, and the threads that would finish them do not exist here.
                keep_for_ever((self, running))

    def _start(self, batch: Batch) -> _Running:
        length = batch.input_ids.shape[1]
        if length not in self._lengths:
            self._lengths.add(length)
            give_back_freed_memory()
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        inputs = self._inputs(batch)
        try:
            # Given to start_async itself, the arrays would pass through checks that take longer than tokenising.
            for number, array in enumerate(inputs):
                request.set_input_tensor(number, ov.Tensor(array, shared_memory=True))
            request.start_async()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {error}") from error
        return request, inputs

    def _finish(self, running: deque[_Running]) -> FloatArray:
        """Wait for the oldest, so that vectors come in the order of their batches."""
        request, _ = running[0]
        try:
            request.wait()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {error}") from error
        finally:
            running.popleft()
        vectors = np.array(request.get_output_tensor().data, dtype=np.float32)
        self._free.append(request)
        return vectors


def _refuse_after_fork(process: int) -> None:
    if os.getpid() != process:
        raise EngineError(
            "This stream of vectors was begun before a fork, and what it had begun to compute is lost in the child. "
            "Start it again there."
        )

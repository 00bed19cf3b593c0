from __future__ import annotations

import threading
import time

from minilm_retrieval.ingest.handover import Handover


def in_thread(action: object) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(timeout=10)
    return not thread.is_alive()


def test_items_arrive_in_order_and_end() -> None:
    handover: Handover[int] = Handover(3)

    def give() -> None:
        assert all(handover.put(number) for number in range(1000))
        handover.finish()

    thread = in_thread(give)
    assert list(handover) == list(range(1000))
    assert ended(thread)


def test_no_more_than_its_size_waits() -> None:
    handover: Handover[int] = Handover(3)
    given: list[int] = []
    thread = in_thread(lambda: [given.append(number) for number in range(10) if handover.put(number)])
    time.sleep(0.2)
    assert len(given) == 3
    taken = iter(handover)
    assert [next(taken), next(taken)] == [0, 1]
    time.sleep(0.2)
    assert len(given) == 5
    handover.cancel()
    assert ended(thread)


def test_a_giver_that_waits_learns_that_nobody_takes() -> None:
    handover: Handover[int] = Handover(1)
    answers: list[bool] = []
    thread = in_thread(lambda: answers.extend(handover.put(number) for number in range(3)))
    time.sleep(0.1)
    handover.cancel()
    assert ended(thread)
    assert answers == [True, False, False]


def test_a_taker_that_waits_is_released() -> None:
    for release in (Handover.cancel, Handover.finish):
        handover: Handover[int] = Handover(1)
        taken: list[int] = []
        thread = in_thread(lambda handover=handover, taken=taken: taken.extend(handover))
        time.sleep(0.1)
        release(handover)
        assert ended(thread)
        assert taken == []
        assert handover.waited >= 0.05


def test_cancelling_drops_what_waits() -> None:
    handover: Handover[int] = Handover(5)
    handover.put(1)
    handover.cancel()
    handover.finish()
    assert list(handover) == []

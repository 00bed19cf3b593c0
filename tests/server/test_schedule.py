"""Batches shared by requests: none waits for the whole of another, nothing is lost, and little is computed in vain."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minilm_retrieval.batching import MIN_BUDGET, bucket_length
from minilm_retrieval.server.schedule import Job, Schedule, Share

BUDGET = 384


def job(*lengths: int) -> Job:
    return Job([np.zeros(length, dtype=np.int32) for length in lengths], 4)


def schedule(*jobs: Job, workers: int = 2) -> Schedule:
    made = Schedule(BUDGET, workers, 256)
    for each in jobs:
        made.add(each)
    return made


def emptied(waiting: Schedule) -> list[tuple[list[Share], int]]:
    batches = []
    while len(waiting):
        batches.append(waiting.take())
    return batches


@given(
    lengths=st.lists(st.lists(st.integers(2, 256), min_size=1, max_size=40), min_size=1, max_size=12),
    workers=st.integers(1, 8),
)
def test_every_text_is_taken_once_and_fits(lengths: list[list[int]], workers: int) -> None:
    jobs = [job(*each) for each in lengths]
    waiting = schedule(*jobs, workers=workers)
    assert waiting.texts == sum(map(len, lengths))
    taken = []
    for shares, length in emptied(waiting):
        assert length == bucket_length(max(map(len, shares)), 256)
        assert len(shares) == 1 or len(shares) * length <= BUDGET
        taken += [(jobs.index(share.job), share.row) for share in shares]
    assert sorted(taken) == [(number, row) for number, each in enumerate(lengths) for row in range(len(each))]
    assert waiting.texts == 0


def test_a_single_text_waits_for_no_more_than_its_turn() -> None:
    many, one = job(*[20] * 2000), job(20)
    waiting = schedule(many, one)
    first, _ = waiting.take()
    assert one in {share.job for share in first}, "it shares the very next batch"


def test_a_text_of_another_length_than_all_others_has_its_turn() -> None:
    many, one = job(*[250] * 100), job(5)
    waiting = schedule(many, one)
    batches = [waiting.take()[0] for _ in range(2)]
    assert one in {share.job for batch in batches for share in batch}


def test_jobs_have_equal_shares_while_they_last() -> None:
    jobs = [job(*[30] * 200) for _ in range(3)]
    waiting = schedule(*jobs)
    for _ in range(9):
        waiting.take()
    taken = [200 - each.waiting for each in jobs]
    assert max(taken) - min(taken) <= BUDGET // 30


def test_what_is_computed_is_mostly_text() -> None:
    chance = np.random.default_rng(0)
    waiting = schedule(*(job(int(length)) for length in chance.integers(5, 40, 512)))
    batches = emptied(waiting)
    useful = sum(sum(map(len, shares)) for shares, _ in batches)
    computed = sum(len(shares) * length for shares, length in batches)
    assert useful / computed > 0.85
    assert len(batches) <= 1.5 * useful / MIN_BUDGET


def test_few_texts_are_divided_among_the_workers() -> None:
    waiting = schedule(*(job(20) for _ in range(16)))
    assert len(waiting.take()[0]) == 8


def test_a_discarded_job_leaves_nothing_behind() -> None:
    gone, stays = job(10, 20, 30), job(15)
    waiting = schedule(gone, stays)
    waiting.discard(gone)
    waiting.discard(gone)
    assert (len(waiting), waiting.texts) == (1, 1)
    assert [share.job for share in waiting.take()[0]] == [stays]


def test_rows_come_back_in_the_order_of_the_texts() -> None:
    each = job(5, 9, 7)
    waiting = schedule(each)
    while len(waiting):
        for share in waiting.take()[0]:
            each.put(share.row, np.full(4, share.row, dtype=np.float32))
    assert each.missing == 0
    assert each.vectors[:, 0].tolist() == [0, 1, 2]

"""Jobs in threads: results in order, no more than may run, and none after a failure."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from latent_agent.call.parallel import in_parallel


@pytest.mark.parametrize("most", [1, 3])
def test_results_come_in_the_order_of_the_jobs(most: int) -> None:
    def job(number: int) -> Callable[[], int]:
        def run() -> int:
            time.sleep(0.02 * (number % 3 == 0))
            return number

        return run

    assert list(in_parallel(map(job, range(20)), most, threading.Event())) == list(range(20))


def test_as_many_run_at_once_as_may() -> None:
    together, most = threading.Barrier(3, timeout=20), threading.Semaphore(3)

    def run() -> bool:
        alone = most.acquire(blocking=False)
        together.wait()
        most.release()
        return alone

    assert all(in_parallel([run] * 9, 3, threading.Event()))


def test_jobs_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def jobs() -> Iterator[Callable[[], int]]:
        for number in range(100):
            taken.append(number)
            yield lambda: 0

    cancelled = threading.Event()
    with closing(in_parallel(jobs(), 2, cancelled)) as results:
        next(results)
        assert len(taken) < 10
    assert cancelled.is_set()


def test_after_a_failure_running_jobs_are_told_and_no_other_begins() -> None:
    cancelled, begun, told = threading.Event(), threading.Event(), threading.Event()
    ran: list[str] = []

    def fail() -> None:
        assert begun.wait(20)
        raise KeyError("lost")

    def heed() -> None:
        begun.set()
        if cancelled.wait(20):
            told.set()

    jobs = [fail, heed, *[lambda: ran.append("late")] * 50]
    with pytest.raises(KeyError, match="lost"):
        list(in_parallel(jobs, 2, cancelled))
    assert told.is_set()
    assert len(ran) < 50

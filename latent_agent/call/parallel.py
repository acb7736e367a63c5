"""Several calls at once, so that they share the model's passes; results in the order of asking."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import TypeVar

Result = TypeVar("Result")
_AHEAD = 2  # jobs begun or waiting for each that may run: one slow answer leaves nobody idle


def in_parallel(
    jobs: Iterable[Callable[[], Result]], most: int, cancelled: Event
) -> Generator[Result]:
    """Run jobs in threads and yield their results, in the order of the jobs.

    Args:
        jobs: What is to be done; taken as it is needed.
        most: How many run at once; 1: each in this thread, when its result is asked for.
        cancelled: Set when a job fails or nobody wants further results; running jobs heed it.

    Raises:
        Exception: What the first failing job raises.
    """
    if most == 1:
        for job in jobs:
            yield job()
        return
    waiting = iter(jobs)
    with ThreadPoolExecutor(most) as pool:
        begun: deque[Future[Result]] = deque()
        try:
            while True:
                room = most * _AHEAD - len(begun)
                begun.extend(pool.submit(job) for job in islice(waiting, room))
                if not begun:
                    return
                yield begun.popleft().result()
        except BaseException:  # closing this generator too
            cancelled.set()
            pool.shutdown(cancel_futures=True)
            raise

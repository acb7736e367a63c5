"""FAISS on the calling thread alone."""

from collections.abc import Generator
from contextlib import contextmanager

import faiss


@contextmanager
def one_thread() -> Generator[None]:
    """Keep FAISS, and the OpenMP that it brings, to the calling thread.

    On a machine busy with a language model, one add took 150 ms with two threads and 0.04 ms with
    one; and a forked process would wait for its parent's threads forever. OpenMP keeps the number
    for each thread, so that of no other thread is changed.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

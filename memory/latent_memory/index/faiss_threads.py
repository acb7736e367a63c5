"""FAISS on the calling thread alone."""

from collections.abc import Generator
from contextlib import contextmanager

import faiss


@contextmanager
def one_thread() -> Generator[None]:
    """Keep FAISS, and the OpenMP that it brings, to the calling thread.

    Its threads are worth little here and cost much. On a busy machine, as one that runs a language
    model is, a single add took 150 ms with two threads and 0.04 ms with one; and a process that
    was forked from one that had used them waits for them for ever. OpenMP keeps the number for
    each thread, so nobody else's is changed.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

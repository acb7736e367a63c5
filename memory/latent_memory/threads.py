"""How many threads FAISS may use for a piece of work."""

from collections.abc import Generator
from contextlib import contextmanager

import faiss

_MANY = 1000  # vectors


@contextmanager
def threads_for(vectors: int) -> Generator[None]:
    """Keep FAISS to the calling thread unless there are many vectors to work on.

    Waking its threads costs more than a few vectors do: on a busy machine, as one that runs a
    language model is, a single add took 150 ms with two threads and 0.04 ms with one. OpenMP
    keeps this number for each thread, so nobody else's is changed.
    """
    before = faiss.omp_get_max_threads()
    if vectors < _MANY:
        faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

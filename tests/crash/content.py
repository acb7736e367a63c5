"""What is stored: traces that can be made again from their number."""

from dataclasses import replace

import numpy as np

from latent_memory.feedback.values import SOURCES, Feedback
from latent_memory.index.ivf_layout import IndexSettings
from latent_memory.shelf_names import FEEDBACK
from latent_memory.trace import Shelf, Trace

SHELF = Shelf(namespace="crash", fingerprint="none", reward="none")

# Small lists soon, so that snapshots are written; all of them searched, so that recall is exact;
# nothing centred, so that a plain cosine says what is right.
SETTINGS = IndexSettings(centre_from=10**9, flat_until=48, members=1, probes=10**6)

RATED = replace(SHELF, reward=FEEDBACK)

_DIMENSION, _ROWS, _WIDTH = 48, 6, 64


def make_trace(seed: int, number: int) -> Trace:
    """Return the trace of a number, always the same."""
    rng = np.random.default_rng([seed, number])
    base = rng.standard_normal((_ROWS, _WIDTH), dtype=np.float32)
    moved = rng.uniform(-0.3, 0.3, base.shape).astype(np.float32)
    return Trace(
        shelf=SHELF,
        query=f"question <{seed}.{number}>",
        answer=f"answer <{seed}.{number}> " * 40,
        embedding=rng.standard_normal(_DIMENSION, dtype=np.float32),
        base=base,
        optimised=base + moved,
        tokens=tuple(range(_ROWS)),
        score=-0.25,
        rewards=((-1.0,), (-0.25,)),
        steps=1,
        stopped="threshold",
    )


def make_feedback(seed: int, number: int, piece: int) -> Feedback:
    """Return the piece of feedback of a number on the trace of a number, always the same."""
    corrected = piece % 3 == 0
    return Feedback(
        score=0.0 if corrected else piece % 5 / 4,
        source=SOURCES[piece % 7 % len(SOURCES)],
        comment=f"comment <{seed}.{number}> {piece}",
        correction=f"correction <{seed}.{number}> {piece}" if corrected else None,
    )

"""What must hold after a kill, without any repair."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from latent_memory.codec import decode_latents, encode_latents
from latent_memory.feedback.values import (
    GivenFeedback,
    Rating,
    effective,
    standing_correction,
)
from latent_memory.store import LatentMemory
from latent_memory.trace import Trace
from tests.crash.content import RATED, SETTINGS, SHELF, make_feedback, make_trace
from tests.crash.ledger import Ledger
from tests.support.memories import contents


def check(database: Path | str, ledger: Ledger, seed: int) -> int:
    """Look at what a killed process left; return how many traces there are.

    Raises:
        AssertionError: If something is lost, invented or damaged.
    """
    with LatentMemory(database, index=SETTINGS) as memory:
        with memory.database.write():
            pass  # a server may still be busy with what the killed process asked last
        require(not (problems := memory.verify()), f"verify finds {problems}")
        traces = {stored.id: stored.trace for stored in memory.stream(SHELF)}
        kept = set(ledger.stored) - ledger.leaving
        require(not (lost := kept - set(traces)), f"lost: {sorted(lost)}")
        require(not (back := ledger.gone & set(traces)), f"forgotten, but there: {sorted(back)}")
        for id_, trace in traces.items():
            number = ledger.stored.get(id_) or int(str(trace.query).split(".")[1].rstrip(">"))
            require(_same(trace, make_trace(seed, number)), f"trace {id_} is not number {number}")
        _check_recall(memory, traces, seed)
        _check_feedback(memory, ledger, traces, seed)
        if not isinstance(database, Path):
            _check_bytes(contents(memory), ledger, seed)
    if isinstance(database, Path):
        _check_bytes(_beside(database), ledger, seed)
    return len(traces)


def _same(got: Trace, made: Trace) -> bool:
    base, optimised = decode_latents(encode_latents(made.base, made.optimised))
    return (
        (got.query, got.answer, got.tokens) == (made.query, made.answer, made.tokens)
        and np.array_equal(got.embedding, made.embedding)
        and np.array_equal(got.base, base)
        and np.array_equal(got.optimised, optimised)
    )


def _check_recall(memory: LatentMemory, traces: dict[int, Trace], seed: int) -> None:
    if not traces:
        return
    ids = sorted(traces)
    rows = np.stack([traces[id_].embedding / np.linalg.norm(traces[id_].embedding) for id_ in ids])
    for number in range(5):
        query = make_trace(seed, 10**6 + number).embedding
        cosines = rows @ (query / np.linalg.norm(query))
        best = [ids[at] for at in np.argsort(-cosines, kind="stable")[:5]]
        recalled = [one.stored.id for one in memory.recall(query, shelf=SHELF, k=5)]
        if not isinstance(memory.place, Path):  # a server centres, by a mean of some time before
            require(len(set(recalled) & set(ids)) == min(5, len(ids)), f"recall gives {recalled}")
            continue
        require(recalled == best, f"recall gives {recalled}, comparing everything {best}")


def _check_feedback(
    memory: LatentMemory, ledger: Ledger, traces: dict[int, Trace], seed: int
) -> None:
    """Compare what was said of each trace, what it comes to, and the copies on their shelf."""
    copies = {stored.id: stored.trace for stored in memory.stream(RATED)}
    ratings = memory.ratings(traces)
    linked = {rating.copy for rating in ratings.values()}
    require(linked == set(copies), f"copies {sorted(copies)}, but ratings of {sorted(linked)}")
    for id_, trace in traces.items():
        said = memory.feedback(id_)
        pieces = [int(str(one.feedback.comment).split()[-1]) for one in said]
        acknowledged = ledger.said.get(id_, [])
        lost, made_up = set(acknowledged) - set(pieces), [p for p in pieces if p > ledger.last_said]
        require(not lost, f"feedback on trace {id_} is lost: {sorted(lost)}")
        require(not made_up, f"feedback on trace {id_} is invented: {made_up}")
        require(pieces == sorted(set(pieces)), f"feedback on trace {id_} is out of order: {pieces}")
        number = int(str(trace.query).split(".")[1].rstrip(">"))
        given = [make_feedback(seed, number, piece) for piece in pieces]
        same = [one.feedback for one in said] == given
        require(same, f"feedback on trace {id_} is not as it was given")
        require((id_ in ratings) == bool(said), f"trace {id_} has {len(said)} pieces, no rating")
        if said:
            _check_rating(ratings[id_], said, trace, copies[ratings[id_].copy])


def _check_rating(rating: Rating, said: Sequence[GivenFeedback], trace: Trace, copy: Trace) -> None:
    reward, standing = effective(said).feedback.score - 1, standing_correction(said)
    require(rating.reward == reward, f"the rating of trace {rating.trace} is not {reward}")
    corrected = copy.answer != trace.answer
    score = 0.0 if corrected else reward
    require(copy.score == score, f"the copy of trace {rating.trace} scores {copy.score}")
    right = standing.feedback.correction if standing is not None else None
    ours = copy.answer == right if corrected else rating.pending == (right is not None)
    require(ours, f"trace {rating.trace} lacks its correction, or has another's")


def _beside(database: Path) -> bytes:
    """Return the bytes of a memory's files, once nobody has them open."""
    beside = [file for file in database.parent.rglob("*") if file.is_file()]
    return b"".join(file.read_bytes() for file in beside)


def _check_bytes(content: bytes, ledger: Ledger, seed: int) -> None:
    """Search all there is for what was forgotten."""
    # With the word before it: the numbers of an index can spell "<0.8>" by themselves.
    texts = rb"(?:question|answer|comment|correction) <%d\.(\d+)>" % seed
    there = {int(number) for number in re.findall(texts, content)}
    left = [id_ for id_ in ledger.gone if ledger.stored[id_] in there]
    require(not left, f"forgotten, but their texts are in the files: {sorted(left)}")


def require(condition: bool, text: str) -> None:
    """Raise AssertionError with a text unless a condition holds, also under ``python -O``."""
    if not condition:
        raise AssertionError(text)

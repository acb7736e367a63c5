"""What the pages show of traces."""

from collections.abc import Iterator
from typing import Any

from latent_agent.call.stored_call import call_of
from latent_agent.server.keys import Key
from latent_agent.server.memory_page.rounds import rounds
from latent_agent.server.memory_page.texts import rewards_text
from latent_agent.server.pages.guard import PageError
from latent_memory import UNRATED, LatentMemory, StoredTrace, Trace
from latent_memory.feedback.rows import original_of
from latent_memory.feedback.values import effective
from latent_memory.listing import TraceInfo

_A_PAGE = 25
_MOST = 40  # rounds shown


def traces_view(memory: LatentMemory, namespace: str | None, before: int | None) -> dict[str, Any]:
    """Return a page of the list of traces, newest first."""
    found = memory.list(namespace=namespace, limit=_A_PAGE + 1, before=before)
    more = len(found) > _A_PAGE
    return {
        "traces": [(info, standing(info)) for info in found[:_A_PAGE]],
        "before": before,
        "older": found[_A_PAGE - 1].id if more else None,
    }


def standing(info: TraceInfo) -> str:
    """Say how an answer stands: what people said of it, or else its own reward."""
    if info.rating is not None:
        return "rated right" if info.rating > -0.5 else "rated wrong"
    return "not judged" if info.shelf.reward == UNRATED else f"reward {info.score:.2f}"


def trace_in(memory: LatentMemory, key: Key, id: int | None) -> StoredTrace:
    """Return a trace that a key sees; of a rated copy, what it is a copy of.

    Raises:
        PageError: If there is none, or it is another's: nobody learns which.
    """
    stored = None
    if id is not None:
        with memory.database.read() as connection:
            original = original_of(connection, id)
        stored = memory.get(original)
    if stored is None or not key.sees(stored.trace.shelf.namespace):
        raise PageError(
            404, "No such trace", "It may have been forgotten, or this key does not reach it."
        )
    return stored


def trace_view(memory: LatentMemory, key: Key, stored: StoredTrace) -> dict[str, Any]:
    """Return what the page of one trace shows."""
    trace, said = stored.trace, memory.feedback(stored.id)
    decisive = effective(said) if said else None
    asked = call_of(trace)
    before = [] if asked is None else asked.turns[:-1]
    moved = float(abs(trace.optimised - trace.base).max())
    return {
        "trace": stored,
        "rating": memory.ratings([stored.id]).get(stored.id),
        "feedback": [(one, one is decisive) for one in said],
        "turns": [(turn.role, turn.content) for turn in before],
        "starts": list(_starts(memory, key, trace)),
        "rounds": _rounds(trace)[:_MOST],
        "hidden_rounds": max(0, len(_rounds(trace)) - _MOST),
        "judged": trace.shelf.reward != UNRATED,
        "latents": f"{len(trace.base)} latents of {trace.base.shape[1]} numbers; the farthest one "
        f"moved by {moved:.2f}",
    }


def _starts(memory: LatentMemory, key: Key, trace: Trace) -> Iterator[tuple[int, str | None]]:
    """Yield the traces that the answer started from, with their questions."""
    for id_ in trace.neighbours:
        near = memory.get(id_)
        if near is None or not key.sees(near.trace.shelf.namespace):
            yield id_, None
        else:
            yield id_, near.trace.query or "question not stored"


def _rounds(trace: Trace) -> list[dict[str, Any]]:
    """Return a search's rounds; the answer's is the first that has its reward."""
    shown: list[dict[str, Any]] = []
    kept = False
    for name, rewards in rounds(trace):
        here = not kept and trace.score in rewards
        kept = kept or here
        width = round(100 * (1 + max(rewards)))
        shown.append({"name": name, "text": rewards_text(rewards), "width": width, "kept": here})
    return shown

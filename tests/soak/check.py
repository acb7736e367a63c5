"""What must hold when the threads of a soak have ended."""

from collections.abc import Sequence
from pathlib import Path

from latent_memory import LatentMemory
from tests.crash.content import SETTINGS
from tests.soak.ledger import Entry, Ledger

_SHOWN = 5


def findings(database: Path, ledger: Ledger) -> Sequence[str]:
    """Compare what a memory holds with what the calls reported; return what is wrong."""
    with LatentMemory(database, index=SETTINGS) as memory:
        if problems := [f"verify: {problem.text}" for problem in memory.verify()]:
            return problems  # what is damaged cannot be compared
        there = {
            stored.id: Entry(info.shelf.namespace, stored.trace.query or "")
            for info in memory.shelves()
            for stored in memory.stream(info.shelf)
        }
    acknowledged = set(ledger.entries)
    for what, ids in (
        ("acknowledged, and lost", acknowledged - ledger.gone - set(there)),
        ("forgotten, and still there", ledger.gone & set(there)),
        ("there, though no call reported it", set(there) - acknowledged),
        ("in another namespace, or of another question", _moved(there, ledger)),
    ):
        if ids:
            problems.append(f"{len(ids)} traces {what}: {sorted(ids)[:_SHOWN]}")
    return [*problems, *ledger.strangers()[:_SHOWN]]


def _moved(there: dict[int, Entry], ledger: Ledger) -> set[int]:
    known = ledger.entries
    return {id_ for id_, entry in there.items() if id_ in known and known[id_] != entry}

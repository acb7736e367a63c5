"""Whether a shelf's snapshot will be used: without an embedding, or any trace, being read."""

from dataclasses import dataclass

from latent_memory.index.embeddings import count_ids, find_shelf
from latent_memory.index.index_state import snapshot_path
from latent_memory.index.snapshot import UntrustedError, read_head
from latent_memory.sqlite import Database
from latent_memory.trace import Shelf


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotState:
    """How it is with a shelf's snapshot.

    Attributes:
        vectors: How many traces it sorts into lists; None: there is no file, as for a small shelf.
        fault: Why it is not used, so that the index is built anew; None if it is.
    """

    vectors: int | None = None
    fault: str | None = None


def check_snapshot(database: Database, shelf: Shelf) -> SnapshotState:
    """Look whether a shelf's snapshot is whole, of the database's generation, and complete."""
    with database.read() as connection:
        row = find_shelf(connection, shelf)
        if row is None:
            return SnapshotState()
        try:
            head = read_head(snapshot_path(database.path, row.id), row.identity)
        except FileNotFoundError:
            return SnapshotState()
        except (OSError, UntrustedError) as problem:
            return SnapshotState(fault=str(problem))
        wanted = count_ids(connection, row, head.position)
    fault = None
    if head.generation != row.generation:
        fault = f"it is of generation {head.generation}, the database of {row.generation}"
    elif head.vectors != wanted:
        fault = f"it holds {head.vectors} traces of {wanted}"
    return SnapshotState(vectors=head.vectors, fault=fault)

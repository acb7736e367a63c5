"""The memory: traces in a database, an index for recall."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal, Self

from sqlalchemy import URL

from latent_memory import listing
from latent_memory import trace_rows as rows
from latent_memory.database import Database
from latent_memory.erasure_log import FORGOTTEN, PRUNED, Erasure, list_erasures
from latent_memory.errors import ReadOnlyError
from latent_memory.feedback.counts import Ratings, read_ratings
from latent_memory.feedback.rating import rate
from latent_memory.feedback.rows import (
    feedback_on,
    original_of,
    ratings_of,
    unread_corrections,
)
from latent_memory.feedback.values import Feedback, GivenFeedback, Rating, check_feedback
from latent_memory.index.ivf_layout import IndexSettings
from latent_memory.listing import ShelfInfo, Stats, TraceInfo, read_stats
from latent_memory.progress import Progress
from latent_memory.recall import recall
from latent_memory.retention.awaited import Awaited
from latent_memory.retention.compacting import compact
from latent_memory.retention.erase import erase
from latent_memory.retention.limits import Limits, read_limits, write_limits
from latent_memory.retention.selection import least_useful, matching
from latent_memory.retention.upkeep import Tidied, Upkeep
from latent_memory.schema import open_database
from latent_memory.trace import Neighbour, Shelf, StoredTrace, Trace, Vector, without_texts
from latent_memory.transfer.exporting import export
from latent_memory.transfer.importing import import_
from latent_memory.validation import check_embedding, check_shelf, check_trace
from latent_memory.verify import Problem, verify_database, verify_traces

Mode = Literal["read-write", "read", "write"]
DEFAULT_INDEX = IndexSettings()


class LatentMemory:
    """A memory of traces, for many threads and processes at once.

    A copy (``copy.copy``, ``copy.deepcopy``) and a pickle are opened again, at the same location
    and with the same arguments: both then see the same traces.

    Args:
        location: A path, a ``sqlite:///`` or a ``postgresql+psycopg://`` URL. A file is made where
            there is none; a database on a server must be there.
        mode: ``read-write``, ``read`` (nothing is stored) or ``write`` (nothing is recalled).
        store_text: Whether questions and answers are stored too.
        index: How the indexes for recall are built.

    Raises:
        LocationError: If there is no memory there, and none can be made.
        SchemaError: If the database is behind or ahead of this program; it is left as it is.
    """

    def __init__(
        self,
        location: str | Path | URL,
        *,
        mode: Mode = "read-write",
        store_text: bool = True,
        index: IndexSettings = DEFAULT_INDEX,
    ) -> None:
        if mode not in ("read-write", "read", "write"):
            raise ReadOnlyError(
                f"mode must be 'read-write', 'read' or 'write', got {mode!r}; choose one of them"
            )
        self._mode: Mode = mode
        self._store_text, self._index = store_text, index
        self._database = open_database(location, readonly=mode == "read")
        self._upkeep = Upkeep(self._database)
        self._indexes = self._database.indexes(index)

    def __reduce__(self) -> tuple[object, ...]:
        again = partial(type(self), mode=self._mode, store_text=self._store_text, index=self._index)
        return again, (self._database.location,)

    @property
    def path(self) -> Path:
        """The database's file.

        Raises:
            LocationError: If it lies on a server.
        """
        return self._database.path

    @property
    def place(self) -> Path | str:
        """Where it lies, as it can be shown: its file, or its URL without a password."""
        return self._database.place

    @property
    def database(self) -> Database:
        """The database behind it, for what is not a trace."""
        return self._database

    def add(
        self, trace: Trace, *, within: float | None = None, awaited: Awaited | None = None
    ) -> int:
        """Store a trace; return its id, once it is durable.

        Args:
            trace: The trace.
            within: Seconds to wait for other writers at most; None: until they have finished, or
                one keeps the lock for 30 seconds.
            awaited: Whose run gave the answer, and until when it waits for feedback.

        Raises:
            TraceError: If the trace cannot be stored as it is.
            ReadOnlyError: If the memory is open for reading only.
            RateError: If the namespace has had its traces of this hour.
            StorageError: If the disk or the database refuses, or others keep it locked too long;
                nothing was stored.
        """
        return self._upkeep.add([self._storable(check_trace(trace))], within, awaited)[0]

    def add_many(self, traces: Iterable[Trace]) -> list[int]:
        """Store traces in one transaction, all or none; return their ids."""
        return self._upkeep.add(self._storable(check_trace(trace)) for trace in traces)

    def _storable(self, trace: Trace) -> Trace:
        return trace if self._store_text else without_texts(trace)

    def recall(self, embedding: Vector, *, shelf: Shelf, k: int = 5) -> list[Neighbour]:
        """Return the ``k`` traces of a shelf whose questions are most similar, best first.

        What is older than the limits allow is skipped.

        Raises:
            TraceError: If the embedding is none, or not as long as the shelf's.
            ReadOnlyError: If the memory is open for writing only.
            DamageError: If a trace is not as it was stored.
        """
        if self._mode == "write":
            raise ReadOnlyError(
                f"a memory must be readable to recall, but {str(self.place)!r} is open with "
                "mode='write'; open it with mode='read-write'"
            )
        check_shelf(shelf)
        return recall(self._database, self._indexes.of(shelf), check_embedding(embedding), k)

    def rate(self, id: int | str, feedback: Feedback, *, namespace: str) -> Rating:
        """Store feedback on an answer; return what all feedback on it comes to.

        Every piece is kept. A user's counts before a test's, a test's before a judge's, and of one
        source the newest. Where no text is stored, comments and corrections are not either.

        Args:
            id: The answer's trace; or, as a text, the run that gave the answer.
            feedback: What is said of it.
            namespace: Whose answer it is.

        Raises:
            FeedbackError: If the feedback is none, or the namespace has no such trace.
            ReadOnlyError: If the memory is open for reading only.
            StorageError: If the disk or the database refuses; nothing was stored.
        """
        given = check_feedback(feedback)
        if not self._store_text:
            given = replace(given, comment=None, correction=None)
        rating = rate(self._database, id, namespace, given)
        self._upkeep.make_room(namespace, {rating.trace, rating.copy})
        return rating

    def feedback(self, id: int) -> "Sequence[GivenFeedback]":
        """List the feedback on an answer, in the order in which it was stored."""
        with self._database.read() as connection:
            return feedback_on(connection, original_of(connection, id))

    def ratings(self, ids: Iterable[int]) -> dict[int, Rating]:
        """Return what the feedback on answers comes to; those not rated are left out."""
        with self._database.read() as connection:
            return ratings_of(connection, ids)

    def has_unread(self, namespace: str) -> bool:
        """Whether a correction of a namespace waits for a model to read it."""
        with self._database.read() as connection:
            return bool(unread_corrections(connection, namespace, 1))

    def count_ratings(self, namespace: str | None = None) -> Ratings:
        """Count the ratings of all namespaces or of one: up and down, in all and by day."""
        return read_ratings(self._database, namespace=namespace)

    def get(self, id: int) -> StoredTrace | None:
        """Return the trace with this id; None if there is none.

        Raises:
            DamageError: If it is not as it was stored.
        """
        with self._database.read() as connection:
            return rows.read_traces(connection, [id]).get(id)

    def stream(self, shelf: Shelf, *, after: int = 0, batch: int = 100) -> Iterator[StoredTrace]:
        """Yield a shelf's traces by id, beyond ``after``, with ``batch`` of them in memory."""
        while True:
            with self._database.read() as connection:
                stored = rows.read_after(connection, shelf, after, batch)
            yield from stored
            if len(stored) < batch:
                return
            after = stored[-1].id

    def shelves(self) -> list[ShelfInfo]:
        """List the shelves that hold traces."""
        with self._database.read() as connection:
            return listing.list_shelves(connection)

    def stats(self) -> Stats:
        """Return how large the memory is."""
        return read_stats(self._database)

    def forget(
        self,
        *,
        ids: Iterable[int] | None = None,
        namespace: str | None = None,
        older_than: datetime | None = None,
        strict: bool = False,
        dry_run: bool = False,
    ) -> int:
        """Erase the traces that meet every condition given; return how many there were.

        Their bytes leave the database, its log, the index files and our backups. With ``dry_run``
        they are only counted.

        Priors that learnt from them are trained again in the next night, or with ``strict``
        withdrawn at once.

        Raises:
            TraceError: If no condition is given, or one makes no sense.
            ReadOnlyError: If the memory is open for reading only.
            StorageError: If the disk or the database refuses; what is left can be forgotten again.
        """
        with self._database.read() as connection:
            chosen = matching(connection, ids=ids, namespace=namespace, older_than=older_than)
        if dry_run:
            return len(chosen)
        given = {"ids": ids, "namespace": namespace, "age": older_than}
        by = ", ".join(name for name, value in given.items() if value is not None)
        return erase(self._database, chosen, reason=f"{FORGOTTEN} by {by}", strict=strict)

    def prune(
        self,
        *,
        keep: int | None = None,
        max_age: timedelta | None = None,
        min_score: float | None = None,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> int:
        """Erase what is too old or scored too low, then all but ``keep`` traces of each shelf.

        The least useful go first (see ``usefulness``). Returns how many there were.

        Raises:
            TraceError: If no condition is given, or one makes no sense.
            ReadOnlyError: If the memory is open for reading only.
            StorageError: If the disk or the database refuses; what is left can be pruned again.
        """
        with self._database.read() as connection:
            chosen = least_useful(
                connection, keep=keep, max_age=max_age, min_score=min_score, namespace=namespace
            )
        return len(chosen) if dry_run else erase(self._database, chosen, reason=PRUNED)

    def limits(self) -> Limits:
        """Return what is kept at most: of each namespace, and of all together."""
        with self._database.read() as connection:
            return read_limits(connection)

    def set_limits(self, limits: Limits) -> None:
        """Set other limits, for all processes; what is beyond them is erased later, step by step.

        All are replaced: what ``Limits`` is not given goes back to its default. To change one,
        ``memory.set_limits(dataclasses.replace(memory.limits(), capacity=20_000))``.

        Raises:
            ReadOnlyError: If the memory is open for reading only.
            StorageError: If the disk or the database refuses; the old ones hold then.
        """
        with self._database.write() as connection:
            write_limits(connection, limits)

    def tidy(self, *, dry_run: bool = False) -> Tidied:
        """Erase what is beyond the limits now; return its space once it is half the file.

        A night does this too. With ``dry_run`` the traces are only counted.

        Raises:
            ReadOnlyError: If the memory is open for reading only.
            StorageError: If the disk or the database refuses; the next call continues.
        """
        return self._upkeep.tidy(dry_run=dry_run)

    def erasures(self, limit: int = 50) -> "list[Erasure]":
        """List when and why traces were erased, newest first; what they held is not recorded."""
        with self._database.read() as connection:
            return list_erasures(connection, limit)

    def export(
        self, folder: Path, *, namespace: str | None = None, progress: Progress | None = None
    ) -> int:
        """Export all traces, or a namespace's; return how many there were.

        Args:
            folder: A new or empty folder: it is there as a whole afterwards, or not at all.
            namespace: Only this one.
            progress: Called with how many traces of how many are done.

        Raises:
            DamageError: If a trace is not as it was stored.
            LocationError: If the folder holds something already.
            StorageError: If it cannot be written.
        """
        return export(self._database, folder, namespace=namespace, progress=progress)

    def import_(
        self, folder: Path, *, namespace: str | None = None, progress: Progress | None = None
    ) -> int:
        """Import an export, all or nothing, under new ids; return how many traces there were.

        Neighbours keep pointing at each other; one that was not exported with them is left out.
        Other processes that write wait until it is done.

        Args:
            folder: The folder that was exported to.
            namespace: Put all into this namespace; by default each stays in its own.
            progress: Called with how many bytes of how many have been read.

        Raises:
            ImportFileError: If it is not a whole export, with the line where that shows.
            StorageError: If the disk or the database refuses.
        """
        return import_(
            self._database,
            folder,
            namespace=namespace,
            store_text=self._store_text,
            progress=progress,
        )

    def verify(self, progress: Progress | None = None) -> Sequence[Problem]:
        """Compare all that is stored with what was written; return what differs."""
        problems = verify_database(self._database) + verify_traces(self._database, progress)
        # An index is built from the traces: it can only be right if they are.
        return problems or [
            Problem(kind="index", trace=None, text=text)
            for info in self.shelves()
            if (text := self._indexes.of(info.shelf).difference()) is not None
        ]

    def compact(self) -> None:
        """Return the space of erased traces to the disk; writers wait meanwhile.

        Raises:
            ReadOnlyError: If the memory is open for reading only.
            StorageError: If the disk has no room for a copy.
        """
        compact(self._database, thorough=True)

    def rebuild(self) -> int:
        """Build all indexes from the database alone; return how many traces they hold."""
        return sum(self._indexes.of(info.shelf).rebuild() for info in self.shelves())

    def close(self) -> None:
        """Write down the indexes and close the database."""
        self._indexes.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def list(
        self,
        *,
        namespace: str | None = None,
        shelf: Shelf | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> "list[TraceInfo]":
        """List traces without their latents, newest first.

        Args:
            namespace: Only those in this namespace.
            shelf: Only those on this shelf.
            limit: The most traces to list.
            before: Only those whose id is lower: the last one's of the list before.
        """
        with self._database.read() as connection:
            return listing.list_traces(
                connection, namespace=namespace, shelf=shelf, limit=limit, before=before
            )

"""Traces to rows and back, on a given connection."""

import json
import secrets
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    bindparam,
    func,
    insert,
    select,
)

from latent_memory.codec import decode_latents, encode_latents
from latent_memory.errors import DamageError, TraceError
from latent_memory.tables import embeddings, latents, shelves, texts, traces
from latent_memory.trace import Shelf, StoredTrace, Trace, by_round

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What the checksum covers, besides embedding and latents.
_CHECKED = (
    *("shelf", "created", "score", "rewards", "steps", "stopped", "neighbours", "prior"),
    *("query", "answer", "tokens"),
)
_CHECKED_SINCE_0006 = ("conversation", "settings")

ON_SHELF = (
    (shelves.c.namespace == bindparam("namespace"))
    & (shelves.c.fingerprint == bindparam("fingerprint"))
    & (shelves.c.reward == bindparam("reward"))
)


def extreme(value: ColumnElement[int], table: Table) -> ColumnElement[int]:
    """Return a shelf's extreme number in a table, such as its highest id; 0 if it has no row."""
    return func.coalesce(select(value).where(table.c.shelf == shelves.c.id).scalar_subquery(), 0)


# Statements are made once: SQLAlchemy takes four times as long to make one as to run it.
_FIND_SHELF = select(shelves.c.id, shelves.c.dimension, shelves.c.width).where(ON_SHELF)
_INSERT_TRACE = insert(traces).returning(traces.c.id)
_INSERT_LATENTS, _INSERT_EMBEDDING, _INSERT_TEXTS = map(insert, (latents, embeddings, texts))

WHOLE = (
    select(
        traces,
        *(shelves.c.namespace, shelves.c.fingerprint, shelves.c.reward),
        *(texts.c.query, texts.c.answer, texts.c.tokens, texts.c.conversation, texts.c.settings),
        *(embeddings.c.vector, latents.c.bytes),
    )
    .join(shelves, shelves.c.id == traces.c.shelf)
    .outerjoin(embeddings, embeddings.c.trace == traces.c.id)
    .outerjoin(latents, latents.c.trace == traces.c.id)
    .outerjoin(texts, texts.c.trace == traces.c.id)
)
_BY_ID = WHOLE.where(traces.c.id.in_(bindparam("ids", expanding=True)))
_AFTER = (
    WHOLE.where(ON_SHELF, traces.c.id > bindparam("after"))
    .order_by(traces.c.id)
    .limit(bindparam("limit"))
)

_PLAIN = ("query", "answer", "score", "steps", "stopped", "prior")


def to_time(moment: datetime) -> int:
    """Return a moment as microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_time(microseconds: int) -> datetime:
    """Return the moment (UTC) of microseconds since 1970.

    Raises:
        DamageError: If no calendar has it.
    """
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise DamageError(
            "stored times must lie between the years 1 and 9999, got "
            f"{microseconds!r} microseconds after 1970; run: latent-agent memory verify, and "
            "forget the trace that it names"
        ) from error


def insert_trace(connection: Connection, trace: Trace, created: datetime) -> int:
    """Insert a checked trace; return its id.

    Raises:
        TraceError: If its shapes are not those of its shelf.
    """
    said = {
        **{name: getattr(trace, name) for name in ("query", "answer", "conversation", "settings")},
        "tokens": json.dumps(trace.tokens),
    }
    vector = trace.embedding.astype("<f4").tobytes()
    packed = encode_latents(trace.base, trace.optimised)
    row = {
        "shelf": _shelf_id(connection, trace),
        "created": to_time(created),
        **{name: getattr(trace, name) for name in ("score", "steps", "stopped", "prior")},
        "rewards": json.dumps(trace.rewards),
        "neighbours": json.dumps(trace.neighbours),
    }
    row["checksum"] = _checksum({**row, **said}, vector, packed)
    id_ = connection.execute(_INSERT_TRACE, row).scalar_one()
    connection.execute(_INSERT_LATENTS, {"trace": id_, "bytes": packed})
    connection.execute(_INSERT_EMBEDDING, {"trace": id_, "vector": vector})
    connection.execute(_INSERT_TEXTS, {"trace": id_, **said})
    return id_


def _checksum(row: Mapping[Any, Any], vector: bytes, packed: bytes) -> int:
    checked = [row[name] for name in _CHECKED]
    later = [row[name] for name in _CHECKED_SINCE_0006]
    # Traces that lack both, as all older ones do, keep the checksum that they got.
    fields = json.dumps(checked if later == [None, None] else checked + later).encode()
    # Of the latents their own checksum, which comes last in them, stands for all: that of bytes
    # and their checksum together is the same for all bytes.
    return zlib.crc32(packed[-4:], zlib.crc32(vector, zlib.crc32(fields)))


def _shelf_id(connection: Connection, trace: Trace) -> int:
    shape = (len(trace.embedding), trace.base.shape[1])
    row = connection.execute(_FIND_SHELF, names(trace.shelf)).one_or_none()
    if row is None:
        return _new_shelf(connection, trace.shelf, *shape)
    check_width("embeddings", row.dimension, shape[0], trace.shelf)
    check_width("latents", row.width, shape[1], trace.shelf)
    return row.id


def check_width(what: str, stored: int, got: int, shelf: Shelf) -> None:
    """Raise TraceError if something is not as wide as the rest of its shelf."""
    if stored != got:
        raise TraceError(
            f"{what} of one shelf must have one width, {stored} on this one, got {got}; another "
            f"model or embedding needs another fingerprint than {shelf.fingerprint!r}"
        )


def _new_shelf(connection: Connection, shelf: Shelf, dimension: int, width: int) -> int:
    row = {"dimension": dimension, "width": width, "identity": secrets.token_hex(16)}
    row = {**names(shelf), **row, "generation": 0}
    return connection.execute(insert(shelves).returning(shelves.c.id), row).scalar_one()


def read_traces(connection: Connection, ids: Iterable[int]) -> dict[int, StoredTrace]:
    """Read the traces under ``ids``; those that are gone are left out. See ``to_trace``."""
    rows = connection.execute(_BY_ID, {"ids": list(ids)})
    return {row["id"]: to_trace(row) for row in rows.mappings()}


def read_after(connection: Connection, shelf: Shelf, after: int, limit: int) -> list[StoredTrace]:
    """Read the next traces of a shelf, by id, beyond ``after``. See ``to_trace``."""
    rows = connection.execute(_AFTER, {**names(shelf), "after": after, "limit": limit})
    return [to_trace(row) for row in rows.mappings()]


def to_trace(row: RowMapping) -> StoredTrace:
    """Return the trace of a row of ``WHOLE``.

    Raises:
        DamageError: If it is not as it was stored.
    """
    try:
        if _checksum(row, row["vector"], row["bytes"]) != row["checksum"]:
            raise DamageError("its checksum does not match")
        base, optimised = decode_latents(row["bytes"])
        trace = Trace(
            shelf=to_shelf(row),
            base=base,
            optimised=optimised,
            embedding=np.frombuffer(row["vector"], "<f4"),
            tokens=tuple(json.loads(row["tokens"])),
            rewards=by_round(json.loads(row["rewards"])),
            neighbours=tuple(json.loads(row["neighbours"])),
            **{name: row[name] for name in (*_PLAIN, *_CHECKED_SINCE_0006)},
        )
        return StoredTrace(id=row["id"], created=from_time(row["created"]), trace=trace)
    except (DamageError, ValueError, TypeError, OverflowError) as error:
        raise DamageError(
            f"a trace must be read as it was stored, but trace {row['id']!r} is damaged ({error}); "
            f"run: latent-agent memory verify, then: latent-agent memory forget {row['id']!r}"
        ) from error


def names(shelf: Shelf) -> dict[str, str]:
    """Return a shelf's names as the parameters of ``ON_SHELF``."""
    return asdict(shelf)


def to_shelf(row: RowMapping) -> Shelf:
    """Return the shelf that a row names."""
    return Shelf(namespace=row["namespace"], fingerprint=row["fingerprint"], reward=row["reward"])

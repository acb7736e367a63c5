"""An index on disk: how its vectors are sorted into lists, and none of the vectors.

The vectors come back from the database, so what was forgotten there cannot come back from here.
A file is verified before any of it is used; one that cannot be trusted is ignored.

The format, little-endian: 8 bytes of magic, the header's length (uint32), the header's SHA-256,
the header (JSON), then the arrays: mean, centroids, ids, lists.
"""

import hashlib
import json
import logging
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latent_memory.errors import TraceError
from latent_memory.files import replace_file
from latent_memory.index.index import Ids, VectorIndex
from latent_memory.index.ivf_layout import IndexSettings, Layout
from latent_memory.trace import Matrix

ReadVectors = Callable[[Ids], tuple[Ids, Matrix]]

_MAGIC = b"latentix"
_VERSION = 1
_FRAME = struct.Struct("<8sI32s")
_BLOCK = 4096  # ids asked for at a time

_log = logging.getLogger("latent_memory")


@dataclass(frozen=True, kw_only=True)
class Position:
    """Up to where an index knows the database.

    Attributes:
        trace: The last trace's id that it knows.
        deletion: The last deletion's number that it knows.
    """

    trace: int
    deletion: int


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a file says of itself.

    Attributes:
        vectors: How many it sorts into lists.
        position: Up to where it knows the database.
        generation: Which one of its shelf's snapshots it is.
    """

    vectors: int
    position: Position
    generation: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stored:
    """What a file holds."""

    layout: Layout
    ids: Ids
    lists: Ids
    position: Position
    generation: int


class UntrustedError(Exception):
    """A file is not a whole snapshot of this index."""


def save_snapshot(
    path: Path, index: VectorIndex, position: Position, generation: int, identity: str
) -> None:
    """Write the index's lists to ``path`` at once or not at all.

    A flat index is quick to build from the database: it has no file, and a stale one is removed.

    Raises:
        OSError: If the file cannot be written; an earlier one is still whole.
    """
    if index.layout.flat:
        path.unlink(missing_ok=True)
        return
    replace_file(path, _packed(index, position, generation, identity))


def load_snapshot(
    path: Path, identity: str, read_vectors: ReadVectors
) -> tuple[VectorIndex, Position, int] | None:
    """Return the index, its position and its generation, or None if there is none to trust.

    Args:
        path: The file; that it is missing is nothing unusual, all else is logged as a warning.
        identity: What the file must have been saved as.
        read_vectors: Asked for ascending ids, it returns those of them that still exist, in any
            order, with their raw embeddings, (n,) and (n, e).
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as problem:
        _warn(path, problem)
        return None
    try:
        stored = _unpacked(content, identity)
        return _filled(stored, read_vectors), stored.position, stored.generation
    except UntrustedError as problem:
        _warn(path, problem)
        return None


def read_head(path: Path, identity: str) -> Head:
    """Verify a file, and tell what it holds without filling an index from it.

    Raises:
        OSError: If it cannot be read.
        UntrustedError: If it is not a whole snapshot of this index.
    """
    stored = _unpacked(path.read_bytes(), identity)
    return Head(vectors=len(stored.ids), position=stored.position, generation=stored.generation)


def _warn(path: Path, problem: Exception) -> None:
    _log.warning("index file %s is not used, the index is built anew: %s", path, problem)


def _packed(index: VectorIndex, position: Position, generation: int, identity: str) -> bytes:
    ids, lists = index.assignment()
    layout = index.layout
    arrays = (
        layout.mean.astype("<f4"),
        layout.centroids.astype("<f4"),
        ids.astype("<i8"),
        lists.astype("<i4"),
    )
    payload = b"".join(array.tobytes() for array in arrays)
    header = json.dumps(
        {
            "version": _VERSION,
            "identity": identity,
            "generation": generation,
            "position": asdict(position),
            "settings": asdict(layout.settings),
            "built": layout.built,
            "dimension": index.dimension,
            "lists": len(layout.centroids),
            "vectors": len(ids),
            "sha256": hashlib.sha256(payload).hexdigest(),
        }
    ).encode()
    frame = _FRAME.pack(_MAGIC, len(header), hashlib.sha256(header).digest())
    return frame + header + payload


def _unpacked(content: bytes, identity: str) -> _Stored:
    try:
        stored = _stored(*_verified(content, identity))
    except (KeyError, TypeError, ValueError) as error:
        raise UntrustedError(f"another program wrote its header: {error!r}") from error
    if stored.lists.size and not 0 <= stored.lists.min() <= stored.lists.max() < len(
        stored.layout.centroids
    ):
        raise UntrustedError("it sorts traces into lists that it does not have")
    return stored


def _stored(header: dict[str, Any], payload: bytes) -> _Stored:
    dimension, lists, vectors = header["dimension"], header["lists"], header["vectors"]
    kinds = (("<f4", dimension), ("<f4", lists * dimension), ("<i8", vectors), ("<i4", vectors))
    arrays: list[Any] = []
    start = 0
    for kind, count in kinds:
        arrays.append(np.frombuffer(payload, dtype=kind, count=count, offset=start))
        start += arrays[-1].nbytes
    mean, centroids, ids, numbers = arrays
    layout = Layout(
        settings=IndexSettings(**header["settings"]),
        built=header["built"],
        mean=mean.astype(np.float32),
        centroids=centroids.reshape(lists, dimension).astype(np.float32),
    )
    return _Stored(
        layout=layout,
        ids=ids.astype(np.int64),
        lists=numbers.astype(np.int64),
        position=Position(**header["position"]),
        generation=header["generation"],
    )


def _verified(content: bytes, identity: str) -> tuple[dict[str, Any], bytes]:
    """Return header and payload, once both are known to be what was written."""
    if len(content) < _FRAME.size:
        raise UntrustedError(f"it ends after {len(content)} bytes, before its header")
    magic, length, digest = _FRAME.unpack_from(content)
    if magic != _MAGIC:
        raise UntrustedError(f"it begins with {magic!r}, not with {_MAGIC!r}")
    written = content[_FRAME.size : _FRAME.size + length]
    if hashlib.sha256(written).digest() != digest:
        raise UntrustedError("its header is not what was written")
    header = json.loads(written)
    if header["version"] != _VERSION:
        raise UntrustedError(f"its format is {header['version']!r}, this program's {_VERSION}")
    if header["identity"] != identity:
        raise UntrustedError(f"it belongs to {header['identity']!r}, not to {identity!r}")
    payload = content[_FRAME.size + length :]
    if hashlib.sha256(payload).hexdigest() != header["sha256"]:
        raise UntrustedError("its arrays are not what was written")
    return header, payload


def _filled(stored: _Stored, read_vectors: ReadVectors) -> VectorIndex:
    index, ids, lists = VectorIndex(stored.layout), stored.ids, stored.lists
    for start in range(0, len(ids), _BLOCK):
        asked = ids[start : start + _BLOCK]
        found, vectors = read_vectors(asked)
        at = np.minimum(np.searchsorted(asked, found), len(asked) - 1)
        if (asked[at] != found).any():
            raise UntrustedError("the database answered with traces that it was not asked for")
        try:
            index.add(found, vectors, lists=lists[start + at])
        except TraceError as error:
            raise UntrustedError(f"it does not fit the database: {error}") from error
    return index

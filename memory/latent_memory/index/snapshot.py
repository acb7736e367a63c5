"""An index on disk: how its vectors are sorted into lists, and none of the vectors.

The vectors are read from the database, so a file cannot bring back what was forgotten there.
It is a safetensors file; its metadata holds a `SnapshotHead` (JSON) and the SHA-256 of head and
arrays. A file is verified before any of it is used; one that cannot be trusted is ignored.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from latent_memory.errors import TraceError
from latent_memory.files import replace_file
from latent_memory.index.index import Ids, VectorIndex
from latent_memory.index.ivf_layout import IndexSettings, Layout
from latent_memory.trace import Arrays, Matrix

ReadVectors = Callable[[Ids], tuple[Ids, Matrix]]

_VERSION = 2
_DTYPES = {"mean": np.float32, "centroids": np.float32, "ids": np.int64, "lists": np.int32}
_BLOCK = 4096  # ids asked for at a time

logger = logging.getLogger(__name__)


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
class SnapshotHead:
    """What a file says of itself.

    Attributes:
        version: Of its format.
        identity: Of the shelf that it belongs to.
        generation: Which one of its shelf's snapshots it is.
        position: Up to where it knows the database.
        vectors: How many it sorts into lists.
        built: How many vectors its lists were learned from.
        settings: The settings it was built with.
    """

    version: int = _VERSION
    identity: str
    generation: int
    position: Position
    vectors: int
    built: int
    settings: IndexSettings


_HEAD = TypeAdapter(SnapshotHead)


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
    ids, lists = index.assignment()
    layout = index.layout
    head = SnapshotHead(
        identity=identity,
        generation=generation,
        position=position,
        vectors=len(ids),
        built=layout.built,
        settings=layout.settings,
    )
    values = {"mean": layout.mean, "centroids": layout.centroids, "ids": ids, "lists": lists}
    arrays = {name: values[name].astype(dtype) for name, dtype in _DTYPES.items()}
    text = _HEAD.dump_json(head).decode()
    replace_file(path, save(arrays, {"head": text, "sha256": _digest(text, arrays)}))


def load_snapshot(
    path: Path, identity: str, read_vectors: ReadVectors
) -> tuple[VectorIndex, SnapshotHead] | None:
    """Return the index and the file's head, or None if there is none to trust.

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
        return _warn(path, problem)
    try:
        head, arrays = _verified(content, identity)
        return _filled(head, arrays, read_vectors), head
    except UntrustedError as problem:
        return _warn(path, problem)


def read_head(path: Path, identity: str) -> SnapshotHead:
    """Verify a file and return its head, without filling an index from it.

    Raises:
        OSError: If it cannot be read.
        UntrustedError: If it is not a whole snapshot of this index.
    """
    return _verified(path.read_bytes(), identity)[0]


def _warn(path: Path, problem: Exception) -> None:
    logger.warning("index file %s is not used, the index is rebuilt: %s", path, problem)


def _digest(head: str, arrays: Arrays) -> str:
    digest = hashlib.sha256(head.encode())
    for name in _DTYPES:
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _verified(content: bytes, identity: str) -> tuple[SnapshotHead, Arrays]:
    """Return head and arrays, once both are known to be what was written, and to fit together."""
    try:
        arrays = load(content)
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        text, digest = (metadata["__metadata__"][name] for name in ("head", "sha256"))
        if _digest(text, arrays) != digest:
            raise UntrustedError("its content is not what was written")
        head = _HEAD.validate_json(text)
    except ValidationError as error:
        raise UntrustedError(f"another program wrote its head: {error!r}") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UntrustedError(f"it is not a whole index file: {error!r}") from error
    if head.version != _VERSION:
        raise UntrustedError(f"its format is {head.version!r}, this program's {_VERSION}")
    if _HEAD.dump_json(head).decode() != text:
        raise UntrustedError(f"another program wrote its head: {text[:500]}")
    if head.identity != identity:
        raise UntrustedError(f"it belongs to {head.identity!r}, not to {identity!r}")
    _check_arrays(head, arrays)
    return head, arrays


def _check_arrays(head: SnapshotHead, arrays: Arrays) -> None:
    lists, width = arrays["centroids"].shape[:1], arrays["mean"].size
    shapes = {"mean": (width,), "centroids": (*lists, width)}
    shapes |= dict.fromkeys(("ids", "lists"), (head.vectors,))
    if {name: (arrays[name].shape, arrays[name].dtype) for name in shapes} != {
        name: (shape, _DTYPES[name]) for name, shape in shapes.items()
    }:
        raise UntrustedError("its arrays do not fit each other")
    if head.vectors and not 0 <= arrays["lists"].min() <= arrays["lists"].max() < lists[0]:
        raise UntrustedError("it sorts traces into lists that it does not have")
    if head.vectors and arrays["ids"].min() < 0:
        raise UntrustedError("it holds ids below 0")


def _filled(head: SnapshotHead, arrays: Arrays, read_vectors: ReadVectors) -> VectorIndex:
    layout = Layout(
        settings=head.settings,
        built=head.built,
        mean=arrays["mean"],
        centroids=arrays["centroids"],
    )
    index, ids, lists = VectorIndex(layout), arrays["ids"], arrays["lists"]
    for start in range(0, len(ids), _BLOCK):
        asked = ids[start : start + _BLOCK]
        there, vectors = read_vectors(asked)
        at = np.minimum(np.searchsorted(asked, there), len(asked) - 1)
        if (asked[at] != there).any():
            raise UntrustedError("the database answered with traces that it was not asked for")
        try:
            index.add(there, vectors, lists=lists[start + at])
        except TraceError as error:
            raise UntrustedError(f"it does not fit the database: {error}") from error
    return index

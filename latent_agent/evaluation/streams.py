"""A memory that is written along the questions, after a kill: as it was, index and all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latent_memory import LatentMemory


def replayed(path: Path, stored: Sequence[bool]) -> LatentMemory:
    """Return a memory as it was after as many calls as are in ``stored``.

    A trace may be stored whose record is not: that call is made again. And an index depends on when
    it was built, so that the calls before are repeated, without a model. The latents are
    packed again, which may turn their last bit.
    """
    path.parent.mkdir(exist_ok=True)
    before = path.with_suffix(".before.sqlite3")
    if path.is_file() and not before.is_file():
        _rename(path, before)
    _remove(path)
    memory = LatentMemory(path)
    if not before.is_file():
        return memory
    with LatentMemory(before) as old:
        shelves = old.shelves()
        traces = old.stream(shelves[0].shelf) if shelves else iter(())
        for left in stored:
            one = next(traces).trace if left else None
            if shelves and memory.shelves():
                any_vector = one.embedding if one is not None else _any_vector(memory)
                memory.recall(any_vector, shelf=shelves[0].shelf, k=1)
            if one is not None:
                memory.add(one)
    _remove(before)
    return memory


def _any_vector(memory: LatentMemory) -> Any:
    shelf = memory.shelves()[0].shelf
    return next(iter(memory.stream(shelf))).trace.embedding


def _files(path: Path) -> list[Path]:
    return [Path(f"{path}{ending}") for ending in ("", "-wal", "-shm")]


def _rename(path: Path, target: Path) -> None:
    for old, new in zip(reversed(_files(path)), reversed(_files(target)), strict=True):
        if old.is_file():
            old.rename(new)


def _remove(path: Path) -> None:
    for file in _files(path):
        file.unlink(missing_ok=True)

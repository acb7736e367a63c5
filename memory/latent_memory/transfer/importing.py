"""Reading an export: see ``transfer.format`` for what it looks like."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from sqlalchemy import Connection

from latent_memory.database import Database
from latent_memory.errors import FeedbackError, ImportFileError, TraceError
from latent_memory.json_lines import LONGEST_LINE, json_lines
from latent_memory.locations import resolve
from latent_memory.progress import Progress
from latent_memory.trace import Arrays, Trace, without_texts
from latent_memory.trace_rows import EPOCH, insert_trace, read_traces
from latent_memory.transfer.format import (
    DTYPES,
    LINES,
    LastLine,
    TraceLine,
    shard_name,
    to_trace,
)
from latent_memory.transfer.ratings import CopyLine, FeedbackLine, bring_copy, bring_feedback
from latent_memory.validation import check_name, check_shape, check_trace

_AHEAD = timedelta(days=1)  # another computer's clock may be
_ARRAYS = ("embedding", "base", "optimised")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Exported:
    """A checked trace, with the id by which others in the export name it as their neighbour."""

    id: int
    created: datetime
    trace: Trace
    feedback: Sequence[FeedbackLine]
    copy_of: CopyLine | None


def import_(
    database: Database,
    folder: Path,
    *,
    namespace: str | None,
    store_text: bool,
    progress: Progress | None,
) -> int:
    """Import an export: see ``LatentMemory.import_``."""
    if namespace is not None:
        check_name("namespace", namespace)
    ids: dict[int, int] = {}
    with database.write() as connection:
        for exported in _read_export(folder, progress):
            trace = _adopted(exported.trace, ids, namespace, store_text)
            try:
                ids[exported.id] = insert_trace(connection, trace, exported.created)
                _bring_ratings(connection, exported, trace, ids, store_text=store_text)
            except (TraceError, FeedbackError) as error:
                raise ImportFileError(
                    f"an import must fit what is there, but its trace {exported.id} does not: "
                    f"{error}; nothing was imported; import it into a namespace of its own"
                ) from error
    return len(ids)


def _bring_ratings(
    connection: Connection,
    exported: _Exported,
    trace: Trace,
    ids: Mapping[int, int],
    *,
    store_text: bool,
) -> None:
    new, link = ids[exported.id], exported.copy_of
    bring_feedback(connection, new, exported.feedback, store_text=store_text)
    if link is None:
        return
    of = ids.get(link.of, 0)  # a copy comes after its trace
    rated = read_traces(connection, [of]).get(of)
    if rated is None or exported.feedback:
        raise TraceError(
            "a rated copy must come after its trace, and without feedback of its own, got the "
            f"copy of {link.of!r}; export again"
        )
    bring_copy(connection, new, of, link, (trace, rated.trace))


def _adopted(trace: Trace, ids: dict[int, int], namespace: str | None, store_text: bool) -> Trace:
    trace = replace(trace, neighbours=tuple(ids[old] for old in trace.neighbours if old in ids))
    if namespace is not None:
        trace = replace(trace, shelf=replace(trace.shelf, namespace=namespace))
    return trace if store_text else without_texts(trace)


def _read_export(folder: Path, progress: Progress | None) -> Iterator[_Exported]:
    """Yield the traces of an export, one at a time in memory."""
    path = _plain_file(resolve(folder) / LINES)
    arrays = _Shards(path.parent)
    seen: set[int] = set()
    number = 0
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            lines = json_lines(file, LONGEST_LINE)
            for number, line in lines:
                with_line = _Where(path, number)
                if isinstance(parsed := _parsed(line, with_line), LastLine):
                    _check_end(parsed, len(seen), lines, with_line)
                    return
                if parsed.id in seen:
                    raise with_line.error(f"its id must be its own, got {parsed.id!r} again")
                seen.add(parsed.id)
                yield _exported(parsed, arrays, with_line)
                if progress:
                    progress(file.tell(), size)
    except OSError as error:
        raise ImportFileError(
            f"an import must be a folder with {LINES} that can be read, got {str(folder)!r} "
            f"({error}); give the folder that was exported to"
        ) from error
    raise _Where(path, number + 1).error("the last line must count the traces, but is missing")


def _plain_file(path: Path) -> Path:
    """Return the path of a file; a link may lead out of the folder, a pipe may never end."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ImportFileError(
            f"an export's files must be plain files, got {str(path)!r}, which is a link or no "
            "file; nothing was imported; copy what it stands for into the folder"
        )
    return path


@dataclass(frozen=True)
class _Where:
    path: Path
    line: int

    def error(self, text: str) -> ImportFileError:
        return ImportFileError(
            f"{self.path}, line {self.line}: {text}; nothing was imported; export again"
        )


def _parsed(line: bytes, where: _Where) -> TraceLine | LastLine:
    try:
        if line.startswith(b'{"traces":'):
            return LastLine.model_validate_json(line)
        return TraceLine.model_validate_json(line)
    except ValidationError as error:
        if not line.endswith(b"\n"):
            raise where.error(
                f"the line must be whole, but ends after {len(line)} bytes"
            ) from error
        first = error.errors(include_url=False)[0]
        what = ".".join(str(part) for part in first["loc"]) or "the line"
        got = repr(first["input"])[:80]
        raise where.error(f"{what}: {first['msg']}, got {got}") from error


def _check_end(
    last: LastLine, count: int, lines: Iterator[tuple[int, bytes]], where: _Where
) -> None:
    if last.traces != count:
        raise where.error(f"there must be {last.traces} traces before it, got {count}")
    if next(lines, None):
        raise where.error("nothing may come after it")


def _exported(line: TraceLine, shards: "_Shards", where: _Where) -> _Exported:
    if not EPOCH <= line.created <= datetime.now(UTC) + _AHEAD:
        raise where.error(
            "created must lie between 1970 and a day after now, or the trace would never grow old, "
            f"got {line.created.isoformat()!r}; set this computer's clock, or correct the date"
        )
    try:
        trace = check_trace(to_trace(line, shards.arrays(line)))
    except (SafetensorError, TraceError, OSError) as error:
        raise where.error(str(error)) from error
    return _Exported(
        id=line.id,
        created=line.created,
        trace=trace,
        feedback=line.feedback,
        copy_of=line.copy_of,
    )


class _Shards:
    """The files of arrays, one of them open at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number, self._open = 0, None

    def arrays(self, line: TraceLine) -> Arrays:
        if line.shard != self._number:
            path = _plain_file(self._folder / shard_name(line.shard))
            file: Any = safe_open(path, framework="numpy")
            self._number, self._open = line.shard, file
        assert self._open is not None
        for name in _ARRAYS:  # before any of it is read
            about = self._open.get_slice(f"{line.id}.{name}")
            if (dtype := about.get_dtype()) not in DTYPES:
                raise TraceError(
                    f"{line.id}.{name} must be of {' or '.join(DTYPES)}, got {dtype}; convert it"
                )
            check_shape(name, about.get_shape())
        return {name: self._open.get_tensor(f"{line.id}.{name}") for name in _ARRAYS}

"""Writing an export: see ``transfer_format`` for what it looks like."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import save_file

from latent_memory.errors import LocationError, StorageError
from latent_memory.files import sync
from latent_memory.locations import resolve
from latent_memory.trace import StoredTrace
from latent_memory.transfer.format import (
    LINES,
    SHARD,
    Arrays,
    LastLine,
    shard_name,
    to_arrays,
    to_line,
)


def write_export(traces: Iterable[StoredTrace], folder: Path) -> int:
    """Write traces to a folder, which is there as a whole afterwards, or not at all.

    At most ``SHARD`` traces are in memory at once.

    Args:
        traces: What to export.
        folder: A new folder, or an empty one.

    Returns:
        How many traces were exported.

    Raises:
        LocationError: If the folder holds something already.
        StorageError: If it cannot be written.
    """
    folder = resolve(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LocationError(
            f"an export must go to a new or empty folder, got {str(folder)!r}, which holds "
            "something; give another"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made with mode 0700: for its owner's eyes only.
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _refused(folder, error) from error
    try:
        count = _write(traces, partial)
        partial.replace(folder)
        sync(folder.parent)
    except (OSError, SafetensorError) as error:
        raise _refused(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return count


def _refused(folder: Path, error: Exception) -> StorageError:
    return StorageError(
        f"the disk must take an export, but writing {str(folder)!r} failed ({error}); make room, "
        "or give a folder that you may write to"
    )


def _write(traces: Iterable[StoredTrace], folder: Path) -> int:
    count = 0
    arrays: Arrays = {}
    with (folder / LINES).open("w", encoding="utf-8") as lines:
        for stored in traces:
            shard = count // SHARD + 1
            lines.write(to_line(stored, shard).model_dump_json() + "\n")
            arrays |= to_arrays(stored)
            count += 1
            if count % SHARD == 0:
                _save(arrays, folder / shard_name(shard))
                arrays = {}
        lines.write(LastLine(traces=count).model_dump_json() + "\n")
        lines.flush()
        os.fsync(lines.fileno())
    if arrays:
        _save(arrays, folder / shard_name(count // SHARD + 1))
    sync(folder)
    return count


def _save(arrays: Arrays, file: Path) -> None:
    save_file(arrays, file)
    sync(file)

"""Files that last, and files that go."""

import logging
import os
import secrets
import time
from functools import partial
from pathlib import Path

logger = logging.getLogger(__name__)

_ABANDONED = 3600.0  # seconds after which a temporary file belongs to a writer that died


def sync(path: Path) -> None:
    """Make a file's content, or a folder's entries, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file so that after a crash there is the old one or the new one, and it is whole.

    Its mode is the one given, less what the umask takes away.
    """
    _sweep(path)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb", opener=partial(os.open, mode=mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        sync(path.parent)


def delete_file(file: Path) -> bool:
    """Delete a file that may hold what is erased; return whether it is gone.

    If it cannot be, a warning is logged: the traces are gone all the same.
    """
    try:
        file.unlink()
    except FileNotFoundError:
        return True
    except OSError as error:
        logger.warning(
            "%s may hold what is erased, and cannot be deleted (%s); make its folder writable, and "
            "delete it yourself",
            file,
            error,
        )
        return False
    logger.info("%s was deleted: it may hold what is erased", file)
    return True


def _sweep(path: Path) -> None:
    """Remove what writers that were killed left behind."""
    for leftover in path.parent.glob(f"{path.name}.*.tmp"):
        try:
            if time.time() - leftover.stat().st_mtime > _ABANDONED:
                leftover.unlink()
        except FileNotFoundError:
            continue  # another process was quicker

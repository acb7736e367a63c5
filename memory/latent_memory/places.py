"""Where a memory lies: the default place, and which locations can be one."""

from pathlib import Path

import platformdirs
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from latent_memory.errors import LocationError


def default_location() -> Path:
    """Return the default database's path, in the user data folder."""
    return platformdirs.user_data_path("latent-agent") / "memory.sqlite3"


def locate(location: str | Path) -> Path:
    """Return the absolute path of the database file that a path or URL names.

    Raises:
        LocationError: If it names none.
    """
    text = str(location)
    path = _path_in(text) if "://" in text else text
    if path in ("", ":memory:") or "\0" in path:
        raise LocationError(
            f"a memory must be kept in a file, got {text!r}; give a path, for example "
            "memory.sqlite3, or switch the memory off"
        )
    file = Path(path).expanduser().absolute()
    if _is_folder(file):
        raise LocationError(
            f"a memory must be kept in a file, got the folder {text!r}; give a file in it, for "
            f"example {str(file / 'memory.sqlite3')!r}"
        )
    return file


def _is_folder(file: Path) -> bool:
    try:
        return file.is_dir()
    except OSError as error:
        raise LocationError(
            f"a memory must lie where it can be looked for, got {str(file)!r} ({error}); choose a "
            "folder that you may enter"
        ) from error


def _path_in(text: str) -> str:
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise LocationError(
            f"a memory must be a path or a sqlite:/// URL, got {text!r}; for example "
            "sqlite:///memory.sqlite3"
        ) from error
    if url.get_backend_name() != "sqlite":
        shown = url.render_as_string(hide_password=True)
        raise LocationError(
            f"a memory must lie in SQLite, the only kind of database so far, got {shown!r}; give "
            "a path or sqlite:///PATH"
        )
    if url.query or url.host:
        raise LocationError(
            f"a memory's URL must be sqlite:///PATH and nothing more, got {text!r}; for an "
            "absolute path, sqlite:////PATH"
        )
    return url.database or ""

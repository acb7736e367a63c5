"""Where a memory lies: the default place, and which locations can be one."""

import os
from pathlib import Path

import platformdirs
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from latent_memory.errors import LocationError


def default_location() -> Path:
    """Return the default database's path, in the user data folder.

    Raises:
        LocationError: If the user has none, because there is no home folder.
    """
    try:
        folder = platformdirs.user_data_path("latent-agent")
    except RuntimeError:
        folder = Path()
    if not folder.is_absolute():  # older releases of platformdirs return "~" as it is
        raise LocationError(
            "a memory's default place is in the user's home folder, which must be an absolute "
            f"path, got HOME={os.environ.get('HOME')!r}; set HOME, or name a place with --memory "
            "PATH, in Python memory='memory.sqlite3'"
        )
    return folder / "memory.sqlite3"


def locate(location: str | Path) -> Path:
    """Return the path of the database file that a path or URL names.

    It is absolute and leads over no symbolic link: one file has one path, whatever it is called,
    so what lies beside it is shared by all who use it.

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
    file = resolve(path)
    try:
        is_folder = file.is_dir()
    except OSError as error:
        raise LocationError(
            f"a memory must lie in a folder that can be read, got {str(file)!r} ({error}); choose "
            "a folder that you may enter"
        ) from error
    if is_folder:
        raise LocationError(
            f"a memory must be kept in a file, got the folder {text!r}; give a file in it, for "
            f"example {str(file / 'memory.sqlite3')!r}"
        )
    return file


def resolve(path: str | Path) -> Path:
    """Return a path without ``~``, ``..`` and symbolic links.

    Raises:
        LocationError: If ``~`` has no meaning, or the links lead in a circle.
    """
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError as error:
        raise LocationError(
            f"a path must lead somewhere, got {str(path)!r} ({error}); give an absolute path, "
            "without links in a circle"
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

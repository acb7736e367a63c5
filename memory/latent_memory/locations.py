"""Where a memory lies: the default place, and which locations can be one."""

import os
from pathlib import Path

import platformdirs
from sqlalchemy import URL, make_url
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


def locate(location: str | Path | URL) -> Path | URL:
    """Return the path of the database file that a location names, or its URL on a server.

    A path is absolute and leads over no symbolic link: one file has one path, whatever it is
    called, so what lies beside it is shared by all who use it.

    Raises:
        LocationError: If it names none.
    """
    text = location if isinstance(location, str) else str(location)
    path: str | Path = text
    if isinstance(location, URL) or "://" in text:
        url = _url_of(location)
        if url.get_backend_name() == "postgresql":
            return _server(url)
        path = _path_in(url)
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


def shown(location: Path | URL) -> Path | str:
    """Return a location as it can be shown: whose it is and where, and no password."""
    if isinstance(location, Path):
        return location
    secret = [name for name in location.query if "pass" in name]
    return location.difference_update_query(secret).render_as_string(hide_password=True)


def _server(url: URL) -> URL:
    """Return a server's URL with the one driver that is known, and its password in one place."""
    if url.get_driver_name() not in ("psycopg", "psycopg2"):  # the second: none was named
        raise LocationError(
            f"a memory's server must be reached by psycopg, got {shown(url)!r}; begin the URL with "
            "postgresql+psycopg://"
        )
    password = url.query.get("password", url.password)
    url = url.difference_update_query(["password"]).set(drivername="postgresql+psycopg")
    return url if password is None else url.set(password=str(password))


def discreet(location: object) -> object:
    """Return a location whose ``repr`` tells no password: a URL in place of a text that has one.

    Raises:
        LocationError: If it is a URL of no memory; there may be a password in it.
    """
    if not isinstance(location, str) or "://" not in location:
        return location
    url = _url_of(location)
    if url.get_backend_name() == "postgresql":
        return _server(url)
    _path_in(url)
    return location


def _url_of(location: object) -> URL:
    try:
        return make_url(location if isinstance(location, URL) else str(location))
    except (ArgumentError, ValueError):
        # Neither the text nor the error is shown: there may be a password in it.
        raise LocationError(
            "a memory must be a path, a sqlite:/// or a postgresql+psycopg:// URL, got a URL that "
            "cannot be read; for example sqlite:///memory.sqlite3, or "
            "postgresql+psycopg://USER@HOST/DATABASE"
        ) from None


def _path_in(url: URL) -> str:
    if url.get_backend_name() != "sqlite":
        raise LocationError(
            f"a memory must lie in SQLite or PostgreSQL, got {shown(url)!r}; give a path, "
            "sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE"
        )
    if url.query or url.host:
        raise LocationError(
            f"a memory's URL must be sqlite:///PATH and nothing more, got {shown(url)!r}; for an "
            "absolute path, sqlite:////PATH"
        )
    return url.database or ""

"""What lies beside a database: the folders of its index snapshots and of its named files."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from latent_memory.database import Files, StoredFile
from latent_memory.errors import LocationError
from latent_memory.files import delete_file, replace_file
from latent_memory.priors.priors import kept_name

LOCK, HOLDER = "night.lock", "night.json"
"""Of the night's lock; no files of the memory."""


def index_folder(database: Path) -> Path:
    """Return the folder of a database's index snapshots; it can be deleted at any time."""
    return database.with_name(f"{database.name}.index")


def priors_folder(database: Path) -> Path:
    """Return the folder of a database's named files, priors above all."""
    return database.with_name(f"{database.name}.priors")


def kept_paths(database: Path) -> Sequence[Path]:
    """Return the files of what interrupted nights have done."""
    return sorted(priors_folder(database).glob(kept_name("*")))


class Folder(Files):
    """Files in a folder, which is made when the first one is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes:
        """Return a file's content; a link is not followed."""
        return self._path(name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a file; after a crash there is the old one or the new one."""
        path = self._path(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        # A night may be another user's than the calls that use its prior.
        replace_file(path, content, 0o600 if fnmatchcase(name, kept_name("*")) else 0o666)

    def delete(self, name: str) -> Sequence[str]:
        """Delete a file; what a damaged database says leads nowhere else."""
        path = self._folder / Path(name).name
        return [] if delete_file(path) else [str(path)]

    def list(self) -> Sequence[StoredFile]:
        """Return the files, what a kill left half written among them."""
        if not self._folder.is_dir():
            return []
        found = [
            (path.name, path.stat())
            for path in self._folder.iterdir()
            if path.name not in (LOCK, HOLDER) and path.is_file()
        ]
        return [
            StoredFile(name=name, size=stat.st_size, written=stat.st_mtime) for name, stat in found
        ]

    def _path(self, name: str) -> Path:
        path = self._folder / name
        if Path(name).name != name or path.is_symlink():
            raise LocationError(
                f"a memory's files must lie in {str(self._folder)!r} itself, got {name!r}; put a "
                "plain file there"
            )
        return path

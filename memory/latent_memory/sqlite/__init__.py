"""All that is particular to SQLite: files, transactions, the write-ahead log, copies, locks."""

from latent_memory.sqlite.address import FileAddress
from latent_memory.sqlite.backup import backup, backups
from latent_memory.sqlite.database import SqliteDatabase
from latent_memory.sqlite.folder import Folder, index_folder, kept_paths, priors_folder
from latent_memory.sqlite.opening import is_writable, log_bytes, look, make_file

__all__ = [
    "FileAddress",
    "Folder",
    "SqliteDatabase",
    "backup",
    "backups",
    "index_folder",
    "is_writable",
    "kept_paths",
    "log_bytes",
    "look",
    "make_file",
    "priors_folder",
]

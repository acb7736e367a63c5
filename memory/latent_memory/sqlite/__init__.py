"""All that is particular to SQLite: opening a file, transactions, the write-ahead log, backups."""

from latent_memory.sqlite.backup import backup, backups
from latent_memory.sqlite.database import Database, is_marked, mark
from latent_memory.sqlite.opening import is_writable, log_bytes, look, make_file

__all__ = [
    "Database",
    "backup",
    "backups",
    "is_marked",
    "is_writable",
    "log_bytes",
    "look",
    "make_file",
    "mark",
]

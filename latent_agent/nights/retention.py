"""Which priors' files are kept: the one active, the newest few, and none that is stale.

Rows stay longer than files, as a record; what nights that published nothing left is bounded too.
"""

from pathlib import Path

from latent_agent.nights.lock import LOCK_FILES
from latent_agent.recall.active_prior import prior_path
from latent_memory import Shelf
from latent_memory.priors.nights import drop_old_nights
from latent_memory.priors.priors import PriorInfo, list_priors, priors_folder
from latent_memory.priors.publishing import drop_files
from latent_memory.sqlite import Database


def prune(database: Database, shelf: Shelf, active_prior: int | None, keep: int) -> list[int]:
    """Delete the files of a shelf's old priors, and whatever no prior owns; return their versions.

    Whoever calls this holds the night's lock.
    """
    drop_old_nights(database, shelf)
    known = [prior for prior in list_priors(database, shelf=shelf) if prior.file]
    fresh = [prior.version for prior in known if not prior.stale and prior.version != active_prior]
    kept = {active_prior, *fresh[:keep]}
    old = [prior for prior in known if prior.version not in kept]
    drop_files(database, [prior.version for prior in old])
    _delete_strays(database.path, list_priors(database))
    return [prior.version for prior in old]


def _delete_strays(database: Path, known: list[PriorInfo]) -> None:
    """Delete what a kill, or a forgotten shelf, left behind."""
    owned = {prior_path(database, prior.file) for prior in known if prior.file}
    for path in priors_folder(database).iterdir():
        if path not in owned and path.name not in LOCK_FILES and path.is_file():
            path.unlink(missing_ok=True)

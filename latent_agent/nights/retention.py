"""Which priors keep their files: the active one, the newest few, and none that is stale.

Rows stay longer than files, as a record; how many nights that published nothing stay is bounded.
"""

import time
from datetime import timedelta

from latent_memory import Shelf
from latent_memory.database import Database
from latent_memory.priors.nights import drop_old_nights
from latent_memory.priors.priors import active_prior, kept_names, list_priors
from latent_memory.priors.publishing import drop_files

KEPT_FOR = timedelta(days=7)
"""How long it is kept what a night has done that was stopped or killed."""


def prune(database: Database, shelf: Shelf, keep: int) -> None:
    """Delete a shelf's old nights, the files of its old priors, and files that no prior owns.

    The caller holds the night's lock.

    Args:
        database: Where the nights and priors are recorded.
        shelf: Whose.
        keep: How many priors keep their files, beside the active one.
    """
    drop_old_nights(database, shelf)
    champion = active_prior(database, shelf)
    active = None if champion is None else champion.version
    known = [prior for prior in list_priors(database, shelf=shelf) if prior.file]
    fresh = [prior.version for prior in known if not prior.stale and prior.version != active]
    kept = {active, *fresh[:keep]}
    drop_files(database, [prior.version for prior in known if prior.version not in kept])
    # A kill, or a shelf that was forgotten, leaves files behind.
    owned = {prior.file for prior in list_priors(database)}
    kept_since, kept_nights = time.time() - KEPT_FOR.total_seconds(), kept_names(database)
    for file in database.files.list():
        goes_on = file.name in kept_nights and file.written > kept_since
        if file.name not in owned and not goes_on:
            database.files.delete(file.name)

"""What the pages show of priors."""

from typing import Any

from latent_agent.nights.status import state_of
from latent_memory import LatentMemory
from latent_memory.priors.priors import active_prior, list_priors

_MOST = 100


def priors_view(memory: LatentMemory, namespace: str | None) -> dict[str, Any]:
    """Return the list of priors, newest first, and what can be done with each."""
    database = memory.database
    priors = list_priors(database, namespace=namespace)
    now = {shelf: active_prior(database, shelf) for shelf in {info.shelf for info in priors}}
    standing = {info.version for info in now.values() if info is not None}
    return {
        "priors": [
            {
                "info": info,
                "state": state_of(info, info.version in standing),
                "active": info.version in standing,
                "publishable": info.version not in standing
                and info.file is not None
                and not info.forgotten,
            }
            for info in priors[:_MOST]
        ],
        "hidden": max(0, len(priors) - _MOST),
    }

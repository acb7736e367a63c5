"""Which shelves of a memory a model can consolidate."""

from collections.abc import Sequence

from latent_agent.embedding import EMBEDDING
from latent_agent.errors import PriorError
from latent_agent.recollection import shelf_reward
from latent_agent.reward import Reward
from latent_agent.shared_model import SharedModel
from latent_memory import LatentMemory, Shelf, ShelfInfo


def shelves_for(
    memory: LatentMemory, model: SharedModel, namespace: str, reward: Reward | None = None
) -> Sequence[Shelf]:
    """Return a namespace's shelves of a model, of all rewards or of one.

    Raises:
        PriorError: If there are none; says what there is instead.
    """
    found = memory.shelves()
    fingerprint = model.fingerprint(EMBEDDING)
    wanted = [
        info.shelf
        for info in found
        if info.shelf.namespace == namespace
        and info.shelf.fingerprint == fingerprint
        and (reward is None or info.shelf.reward == shelf_reward(reward.id))
    ]
    if not wanted:
        raise PriorError(
            f"there must be traces in namespace {namespace!r} of model {fingerprint[:8]}"
            f"{'' if reward is None else f' and reward {reward.id!r}'}, got {_listed(found)}; ask "
            "questions first, or give another --namespace, --model, --reward or --memory"
        )
    return wanted


def _listed(found: Sequence[ShelfInfo]) -> str:
    told = [
        f"{info.traces} in {info.shelf.namespace!r} of model {info.shelf.fingerprint[:8]} and "
        f"reward {info.shelf.reward!r}"
        for info in found
    ]
    return "; ".join(told[:5]) or "none at all"

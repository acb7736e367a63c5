"""A prior's state in a few words."""

from latent_memory.priors.priors import PriorInfo


def state_of(info: PriorInfo, is_active: bool) -> str:
    """Say whether a prior is active, and if not, why."""
    words = ["active"] if is_active else []
    if info.stale:
        words.append("stale")
    if info.withdrawn:
        words.append(f"withdrawn ({info.withdrawn})")
    elif info.published is None:
        words.append("not published")
    elif not is_active:
        words.append("replaced")
    if info.file is None:
        words.append("no file")
    return ", ".join(words)

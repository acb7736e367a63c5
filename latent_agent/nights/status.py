"""A prior's state in a few words."""

from latent_memory.priors.priors import PriorInfo


def state_of(info: PriorInfo, is_in_force: bool) -> str:
    """Say whether a prior is in force, and if not, why."""
    words = ["in force"] if is_in_force else []
    if info.stale:
        words.append("stale")
    if info.withdrawn:
        words.append(f"withdrawn ({info.withdrawn})")
    elif info.published is None:
        words.append("not published")
    elif not is_in_force:
        words.append("replaced")
    if info.file is None:
        words.append("no file")
    return ", ".join(words)

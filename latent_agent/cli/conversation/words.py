"""What goes on, and what became of a rating, in words."""

from collections.abc import Mapping
from typing import Any

from latent_agent.cli.conversation.partner import Said


def rated_text(reward: float, said: Said, *, pending: bool) -> str:
    """Say what became of feedback."""
    if said.correction is None:
        return f"Kept: the answer has a reward of {reward:.2f} now."
    when = "at the next call or night" if pending else "already"
    return f"Kept. The correction is read {when}, and similar questions start from it."


def doing_text(event: str, details: Mapping[str, Any]) -> str | None:
    """Say in a few words what a call does after an event; None: what it did before."""
    match event:
        case "recall" if details.get("neighbours") or details.get("prior"):
            return "starting from what was remembered"
        case "draft":
            return "judging the draft"
        case "verdict" if not details.get("accepted"):
            return f"searching, reward {details['reward']:.2f}"
        case "step" if details.get("best") is not None:
            return f"searching, round {details['step']}, best reward {details['best']:.2f}"
        case _:
            return None

"""What each way to search needs of an engine beyond the seam that all of them share."""

from collections.abc import Mapping

from latent_agent.errors import SettingError
from latent_agent.model.engine import Capability, Engine

NEEDS: Mapping[str, frozenset[Capability]] = {
    "gradient": frozenset(),
    "flip": frozenset(),
    "soft_prefix": frozenset({"block_states", "block_gradients"}),
    "soft_walk": frozenset({"block_states"}),
}
"""Capabilities by the setting ``search``; what runs by default needs none."""


def check_needs(search: str, engine: Engine) -> None:
    """Refuse a search that an engine cannot serve.

    Raises:
        SettingError: Names what is missing.
    """
    missing = sorted(NEEDS[search] - engine.capabilities)
    if missing:
        raise SettingError(
            f"search={search!r} needs an engine with {', '.join(missing)}, got {engine.name}, "
            f"which cannot do that; use search='gradient', or "
            "a model that transformers runs"
        )


def width_of(width: int | str, engine: Engine) -> int:
    """Return how many sets of latents a round tries; ``auto`` is the engine's own width."""
    return engine.good_width if isinstance(width, str) else width

"""What a name stands for: a built-in reward's, or ``module:attribute``, as typed into a command."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from latent_agent.reward.agreement import AgreementReward
from latent_agent.reward.base import Reward
from latent_agent.reward.equations import EquationReward
from latent_agent.reward.scale import ScaleReward
from latent_agent.reward.self_reward import SelfReward

BUILT_IN: Mapping[str, Callable[[], Reward]] = {
    "agreement": AgreementReward,
    "agreement-by-probability": lambda: AgreementReward("probability"),
    "agreement-by-perplexity": lambda: AgreementReward("perplexity"),
    "equations": EquationReward,
    "scale": ScaleReward,
    "scale-of-final": lambda: ScaleReward(final_only=True),
    "p-true": lambda: SelfReward(weights={"correct": 1.0}, verdict="probability"),
}
"""Built-in rewards that need no truth and no arguments, by name."""


def named(module: str, attribute: str) -> Any:
    """Import an attribute; modules of the folder that the command runs in count too.

    Raises:
        ImportError: If there is no such module.
        AttributeError: If it has no such attribute.
    """
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return getattr(import_module(module), attribute)

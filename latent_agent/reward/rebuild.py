"""A reward from its id: the night judges with what the day judged with.

The id comes from the database, and so perhaps from somebody else's export. It may name code, but
only code that says of itself that it is a reward: else ``shutil:rmtree`` would be one, with the
question as its path.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from latent_agent.errors import RewardError, SettingError
from latent_agent.reward.base import Reward, as_reward
from latent_agent.reward.outside import WeightedSum
from latent_agent.reward.rules import FormatReward
from latent_agent.reward.self_reward import SelfReward
from latent_agent.reward.tool_calls import ToolCallReward, ToolTurnReward


def reward_from_id(name: str) -> Reward:
    """Build the reward that an id stands for.

    Raises:
        RewardError: If it cannot be built again: it needs what no id holds (truths, a chat model),
            its module cannot be imported, or what is found there has another id by now.
    """
    try:
        reward = _built_in(name) if " " in name else _imported(name)
    except (ValueError, KeyError, TypeError, SettingError, ImportError, AttributeError) as error:
        raise _lost(name, str(error)) from error
    if reward.id != name:
        raise _lost(name, f"what is found there now is {reward.id!r}")
    return reward


def _lost(name: str, reason: str) -> RewardError:
    return RewardError(
        f"a reward must be one that can be built again from its id, got {name!r} ({reason}); name "
        "it with --reward module:attribute"
    )


def _built_in(name: str) -> Reward:
    kind, _, arguments = name.partition(" ")
    if kind not in _BUILDERS:
        raise ValueError(f"{kind} holds more than its id says")
    return _BUILDERS[kind](json.loads(arguments))


def _imported(name: str) -> Reward:
    module, _, path = name.partition("#")[0].partition(":")
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError("the standard library holds no rewards")
    found: Any = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    if isinstance(found, type) and issubclass(found, Reward):
        return found()
    if _asks_for_both(found):
        return as_reward(found)
    raise ValueError("it is no Reward, and its first parameters are not question and answer")


def _asks_for_both(found: Any) -> bool:
    """Whether something declares the two parameters of a reward by their names."""
    if isinstance(found, type) or not callable(found):
        return False
    return list(inspect.signature(found).parameters)[:2] == ["question", "answer"]


def _self_reward(arguments: Mapping[str, Any]) -> Reward:
    settings = dict(arguments)
    return SelfReward(settings.pop("kind"), **settings)


def _format(arguments: Mapping[str, Any]) -> Reward:
    return FormatReward(re.compile(arguments["pattern"], arguments["flags"]))


def _sum(arguments: Mapping[str, Any]) -> Reward:
    return WeightedSum(*((reward_from_id(part), weight) for part, weight in arguments["parts"]))


_BUILDERS: Mapping[str, Callable[[Mapping[str, Any]], Reward]] = {
    "SelfReward": _self_reward,
    "FormatReward": _format,
    "WeightedSum": _sum,
    "ToolCallReward": lambda _: ToolCallReward(),
    "ToolTurnReward": lambda told: ToolTurnReward(reward_from_id(told["inner"])),
}

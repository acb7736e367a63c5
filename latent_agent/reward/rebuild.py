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
from operator import attrgetter
from typing import Any

from latent_agent.errors import RewardError, SettingError
from latent_agent.reward.agreement import AgreementReward
from latent_agent.reward.base import Reward, as_reward
from latent_agent.reward.certainty import CertaintyReward
from latent_agent.reward.equations import EquationReward
from latent_agent.reward.feedback import FeedbackReward
from latent_agent.reward.rules import FormatReward
from latent_agent.reward.scale import ScaleReward
from latent_agent.reward.self_reward import SelfReward
from latent_agent.reward.sums import Lexicographic, WeightedSum
from latent_agent.reward.tool_calls import ToolCallReward, ToolTurnReward


def reward_from_id(name: str) -> Reward:
    """Build the reward that an id stands for.

    Raises:
        RewardError: If it cannot be built again: it needs what no id holds (truths, a chat model),
            its module cannot be imported, or what it names has another id by now.
    """
    if name == FeedbackReward().id:
        return FeedbackReward()
    try:
        reward = _built_in(*name.split(" ", 1)) if " " in name else _imported(name)
        if reward.id != name:
            raise ValueError(f"it stands for {reward.id!r} now")
    except (ValueError, KeyError, TypeError, SettingError, ImportError, AttributeError) as error:
        raise RewardError(
            f"a reward must be one that can be built again from its id, got {name!r} ({error}); "
            "name it with --reward module:attribute"
        ) from error
    return reward


def _built_in(kind: str, arguments: str) -> Reward:
    if kind not in _BUILDERS:
        raise ValueError(f"{kind} holds more than its id says")
    its = json.loads(arguments)
    threshold = its.pop("threshold", None)
    reward = _BUILDERS[kind](its)
    if threshold is not None:
        if not isinstance(threshold, float | int) or not -1 <= threshold < 0:
            raise ValueError(f"its threshold must lie in [-1, 0), not be {threshold!r}")
        reward.threshold = threshold
    return reward


def _imported(name: str) -> Reward:
    module, _, path = name.partition("#")[0].partition(":")
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError("the standard library holds no rewards")
    named: Any = attrgetter(path)(import_module(module))
    if isinstance(named, type) and issubclass(named, Reward):
        return named()
    parameters = [] if isinstance(named, type) else [*inspect.signature(named).parameters]
    if parameters[:2] == ["question", "answer"]:
        return as_reward(named)
    raise ValueError("it is no Reward, and its first parameters are not question and answer")


_BUILDERS: Mapping[str, Callable[[dict[str, Any]], Reward]] = {
    "SelfReward": lambda its: SelfReward(its.pop("kind"), **its),
    "FormatReward": lambda its: FormatReward(re.compile(its["pattern"], its["flags"])),
    "WeightedSum": lambda its: WeightedSum(
        *((reward_from_id(part), weight) for part, weight in its["parts"])
    ),
    "Lexicographic": lambda its: Lexicographic(*map(reward_from_id, its["parts"])),
    "AgreementReward": lambda its: AgreementReward(its.pop("votes"), **its),
    "CertaintyReward": lambda its: CertaintyReward(its.pop("part"), **its),
    "EquationReward": lambda its: EquationReward(**its),
    "ScaleReward": lambda its: ScaleReward(**its),
    "ToolCallReward": lambda _: ToolCallReward(),
    "ToolTurnReward": lambda its: ToolTurnReward(reward_from_id(its["inner"])),
}
"""What makes each built-in reward again from the arguments in its id."""

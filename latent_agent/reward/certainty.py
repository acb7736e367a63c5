"""Certainty: how likely the model found what it wrote, where it was least sure or at the end."""

import math
from collections.abc import Sequence
from typing import Literal

from latent_agent.errors import RewardError, SettingError
from latent_agent.reward.base import Case, Reward, Score, built_in_id

Part = Literal["worst", "tail", "whole"]


class CertaintyReward(Reward):
    """The geometric mean of an answer's token probabilities over one part of it, minus 1.

    Free, and good for ties and for gates (arXiv 2502.18581, DeepConf in 2508.15260). A search that
    ascends it alone makes answers worse in the end (2506.17219), so it is a part of a sum only.

    Args:
        part: The ``worst`` window, the ``tail``, or the ``whole`` answer.
        window: Tokens of the window and of the tail; a shorter answer is taken whole.
    """

    reads_logprobs = True
    reads_model = False
    objective = False

    def __init__(self, part: Part = "worst", *, window: int = 16) -> None:
        if part not in ("worst", "tail", "whole"):
            raise SettingError(f"part must be one of worst, tail, whole, got {part!r}; choose one")
        if window < 1:
            raise SettingError(f"window must be 1 token or more, got {window!r}; take 16")
        self._part, self._window = part, window

    @property
    def id(self) -> str:
        """Which part is looked at."""
        return built_in_id(self, part=self._part, window=self._window)

    def score(self, case: Case) -> Score:
        """Take the mean over the part."""
        if not case.logprobs:
            raise RewardError(
                "CertaintyReward needs an answer's log-probabilities, got none; use it inside "
                "ChatLatentSeek or LatentAgent"
            )
        certain = math.exp(self._mean(case.logprobs))
        return Score(value=min(certain - 1.0, 0.0), checks={self._part: certain})

    def _mean(self, logprobs: Sequence[float]) -> float:
        if self._part == "worst":
            return worst_window(logprobs, self._window)
        kept = logprobs[-self._window :] if self._part == "tail" else logprobs
        return math.fsum(kept) / len(kept)


def worst_window(values: Sequence[float], window: int) -> float:
    """Return the least mean of ``window`` neighbouring values; of all, where there are fewer."""
    width = min(window, len(values))
    total = least = math.fsum(values[:width])
    for leaving, coming in zip(values, values[width:], strict=False):
        total += coming - leaving
        least = min(least, total)
    return least / width

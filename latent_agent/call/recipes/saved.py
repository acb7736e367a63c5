"""A saved calibration: what was recommended for one model, and what shows it."""

from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION = 1
"""Of the file."""

Search = Literal["plain", "samples", "latentseek"]


def release() -> str:
    """Return the release of this package, such as 0.1: rewards may differ from one to the next."""
    return ".".join(version("latent-agent").split(".")[:2])


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Kept):
    """A mean with its 95% interval; None where nothing is known."""

    mean: float | None
    low: float | None
    high: float | None


class KeptReward(_Kept):
    """What calibration found of one reward.

    Attributes:
        id: The reward's id.
        threshold: Above it an answer is accepted; None: none was found.
        agrees: Share of answers, on questions that did not choose the threshold, on which
            accepting and truth agree.
        within: Area under the curve within a question.
        best: Share of questions whose best answer by the reward is right.
    """

    id: str
    threshold: float | None
    agrees: Interval
    within: Interval
    best: Interval


class SavedRecipe(_Kept):
    """What was recommended for a model.

    Attributes:
        version: Of the file.
        fingerprint: Of the model that was calibrated.
        model: Its name.
        engine: What ran it.
        dtype: What it computed in.
        release: Of this package.
        versions: Of the packages that answers hang on.
        made: When, in UTC.
        data: The file of questions.
        ending: What stood after each question.
        questions: How many of them count.
        budget: Time that a call may take, in plain answers.
        search: ``plain``, ``samples`` or ``latentseek``.
        reward: Name of the reward that judges; None: none does.
        settings: Settings that differ from the defaults.
        rewards: What was found of each reward, by name.
        draft: Share of right plain answers.
        right: Share of right answers with the recipe.
        gain: That less the plain answers, question by question.
        seconds: What a call takes, in plain answers.
        tokens: What it forwards, in plain answers.
    """

    version: int = VERSION
    fingerprint: str
    model: str
    engine: str
    dtype: str
    release: str = Field(default_factory=release)
    versions: Mapping[str, str]
    made: datetime
    data: str
    ending: str = ""
    questions: int
    budget: float
    search: Search
    reward: str | None
    settings: Mapping[str, bool | int | float | str]
    rewards: Mapping[str, KeptReward]
    draft: Interval
    right: Interval
    gain: Interval
    seconds: float
    tokens: float

    @property
    def named(self) -> str:
        """What it is called where an answer says what made it."""
        by = "" if self.reward is None else f" by {self.reward}"
        asked = f", asked with {self.ending!r} at the end" if self.ending else ""
        return f"{self.search}{by}, calibrated {self.made:%Y-%m-%d}{asked}"

"""What a calibration is asked for, and what it must be."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from latent_agent.errors import EvaluationError, SettingError
from latent_agent.evaluation.bench import Bench
from latent_agent.evaluation.checking import KnownTruth, checker_named
from latent_agent.evaluation.items import Item, load_items
from latent_agent.evaluation.pool_answers import by_turns
from latent_agent.model.options import LoadOptions
from latent_agent.model.registry import open_model
from latent_agent.nights.watch import Halt
from latent_agent.reward import Reward
from latent_agent.settings import settings_for

LEAST = 10
"""Questions: of fewer no sign test over folds shows anything."""
_WIDTHS = (3, 5)


@dataclass(frozen=True, kw_only=True)
class CalibrationRequest:
    """What a command line says; see ``latent-agent calibrate --help``."""

    model: Any = "bundled"
    data: str = "bundled:validation"
    questions: int | None = None
    samples: int = 8
    temperature: float = 0.7
    max_tokens: int = 512
    ending: str = ""
    check: str = "auto"
    budget: float = 3.0
    minutes: float = 45.0
    written: bool = False
    rewards: Mapping[str, Reward] = field(default_factory=dict[str, Reward])
    rows: int = 36
    opened: LoadOptions = field(default_factory=LoadOptions)

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            raise SettingError(
                f"minutes must be a finite number above 0, got {self.minutes!r}; for example 45"
            )
        if not 1 < self.budget < math.inf:
            raise SettingError(
                f"budget must be a finite number above 1, in times of a plain answer, got "
                f"{self.budget!r}; give for example 3x"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Sizes of rounds that are compared, the plain answer among them."""
        return (*(one for one in _WIDTHS if one <= self.samples), self.samples + 1)

    def items(self) -> list[Item]:
        """Return the questions, with the families in turn.

        Raises:
            EvaluationError: If there are too few.
        """
        items = by_turns(load_items(self.data))[: self.questions]
        if len(items) < LEAST:
            raise EvaluationError(
                f"a calibration must have {LEAST} questions or more, got {len(items)} of "
                f"{self.data!r}; give a longer file, or more --questions: 30 show a large "
                "difference, 200 a small one"
            )
        return items

    def bench(self, items: Sequence[Item], halt: Halt) -> Bench:
        """Return what both searches share; the truth is put in the reward's place, or a reward."""
        checker = checker_named(self.check)
        return Bench(
            model=open_model(self.model, None, self.opened),
            settings=settings_for(max_tokens=self.max_tokens),
            reward=KnownTruth(checker, items[0]),
            checker=checker,
            ending=self.ending,
            cancelled=halt,
        )


def times(text: str) -> float:
    """Read a budget such as ``3x``.

    Raises:
        SettingError: If it is none.
    """
    known = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*x?\s*", text)
    if known is None:
        raise SettingError(
            f"budget must be a number of times a plain answer takes, got {text!r}; for example 3x"
        )
    return float(known[1])

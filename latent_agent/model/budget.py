"""The forwarded tokens of one call by stage, and the budgets that they must keep."""

import threading
import time
from typing import Literal

from latent_agent.errors import BudgetSpent, CallCancelled

Stage = Literal["draft", "refine", "judge"]


class Budget:
    """Counts forwarded tokens (non-padding positions through the model's body) by stage.

    Args:
        max_tokens: Budget in forwarded tokens; None: no limit.
        timeout: Budget in seconds from now on; None: no limit.
        cancelled: Once it is set, no further pass is made.

    Attributes:
        spent: Forwarded tokens by stage.
        cancelled: As given.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        timeout: float | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        self.spent: dict[Stage, int] = {"draft": 0, "refine": 0, "judge": 0}
        self._max_tokens, self.cancelled = max_tokens, cancelled
        self._deadline = None if timeout is None else time.monotonic() + timeout

    @property
    def seconds_left(self) -> float | None:
        """What is left of the timeout; None: there is none."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def total(self) -> int:
        """All forwarded tokens so far."""
        return sum(self.spent.values())

    def token_counts(self) -> dict[str, int]:
        """Return what each stage has spent."""
        return {stage: tokens for stage, tokens in self.spent.items()}

    def charge(self, stage: Stage, tokens: int) -> None:
        """Book a forward pass that is about to be made.

        Raises:
            BudgetSpent: If the pass would break a budget; nothing is booked then.
            CallCancelled: If the answer is no longer wanted.
        """
        if self.cancelled is not None and self.cancelled.is_set():
            raise CallCancelled
        if self._max_tokens is not None and self.total + tokens > self._max_tokens:
            raise BudgetSpent("tokens")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise BudgetSpent("time")
        self.spent[stage] += tokens

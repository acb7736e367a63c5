"""Errors: each says the rule, the value received and the remedy."""


class LatentAgentError(Exception):
    """Base of all errors of this package."""


class SettingError(LatentAgentError):
    """A setting is outside its range, or two settings contradict each other."""


class ModelError(LatentAgentError):
    """A model cannot be found, or is not a causal language model that can be searched."""


class PromptError(LatentAgentError):
    """A conversation cannot be turned into a prompt, or does not fit the context window."""


class RewardError(LatentAgentError):
    """A reward raised, returned no number, or left [-1, 0]."""


class BusyError(LatentAgentError):
    """As many calls wait for the model as may, or a call's timeout passed in line."""


class EmbedderError(LatentAgentError):
    """An embedder raised, or returned no vector of finite numbers."""


class PriorError(LatentAgentError):
    """A latent prior cannot be trained, read or published."""


class TooLittleError(PriorError):
    """A night has too few traces to learn from."""


class EvaluationError(LatentAgentError):
    """An evaluation's items, methods or folder are not what they must be."""


class RecipeError(LatentAgentError):
    """A saved calibration cannot be found, read, written or used."""


class NightRunningError(LatentAgentError):
    """Another process consolidates the same memory."""


class NightStoppedError(LatentAgentError):
    """A night was stopped before its end."""


class CallCancelled(LatentAgentError):  # noqa: N818 - an event of the call, not a mistake
    """The caller no longer wants the answer."""

    def __str__(self) -> str:
        return "the call was cancelled"


class BudgetSpent(LatentAgentError):  # noqa: N818 - an event of the call, not a mistake
    """A call's budget does not allow the next forward pass.

    Attributes:
        reason: ``time`` or ``tokens``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)  # a pickle is made again from the arguments
        self.reason = reason

    def __str__(self) -> str:
        return f"the call's budget of {self.reason} is spent"

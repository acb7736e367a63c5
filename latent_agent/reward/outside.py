"""An outside chat model as judge."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from latent_agent.reward.base import Case, Reward, Score, built_in_id
from latent_agent.reward.judge import JudgeRequest
from latent_agent.reward.self_reward import SelfReward


class ChatModel(Protocol):
    """Anything with LangChain's ``invoke``."""

    def invoke(self, input: str, /) -> Any:
        """Return a message whose text is the reply."""
        ...


class _OutsideJudge:
    """An outside chat model in the place of the LM itself."""

    prompts: Mapping[str, Any] | None = None

    def __init__(self, chat_model: ChatModel) -> None:
        self._chat_model = chat_model

    def ask(self, requests: Sequence[JudgeRequest]) -> list[str]:
        replies = [self._chat_model.invoke(request.prompt) for request in requests]
        return [str(getattr(reply, "text", reply)) for reply in replies]

    def tells_apart(self, words: Sequence[str]) -> bool:  # noqa: ARG002 - its tokens are unknown
        return False


def _model_name(chat_model: Any) -> str:
    names = (getattr(chat_model, name, None) for name in ("model_name", "model"))
    named = next((name for name in names if isinstance(name, str)), "")
    return f"{type(chat_model).__module__}:{type(chat_model).__qualname__} {named}".strip()


class JudgeReward(Reward):
    """The four checks of `SelfReward`, asked of any LangChain chat model.

    It ends no round early: the judge may be the model that still writes.

    Args:
        chat_model: The judge.
        deterministic: Whether the judge always says the same of the same answer; only then are
            its scores remembered within a call.
        strict: A failed "answer correct" is never accepted.
        weights: Other weights, by check.
    """

    def __init__(
        self,
        chat_model: ChatModel,
        *,
        deterministic: bool = False,
        strict: bool = True,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.deterministic = deterministic
        self._name = _model_name(chat_model)
        self._judge = _OutsideJudge(chat_model)
        self._checks = SelfReward("checks", weights=weights, strict=strict)

    @property
    def id(self) -> str:
        """The judging model's name, and the checks' own id."""
        return built_in_id(self, model=self._name, checks=self._checks.id)

    def score(self, case: Case) -> Score:
        """Ask the outside judge."""
        conversation = case.conversation or case.question
        return self._checks.score(replace(case, conversation=conversation, judge=self._judge))

"""What a reward is given, what it returns, and what it must keep to."""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from latent_agent.errors import BudgetSpent, CallCancelled, RewardError
from latent_agent.reward.judge import Judge
from latent_agent.tools.call import ToolCall


@dataclass(frozen=True, kw_only=True)
class Case:
    """An answer to be scored.

    Attributes:
        question: The last human text.
        answer: The answer's text without stop tokens, unstripped.
        conversation: The whole conversation as text, for judges.
        judge: The LM itself; None where no model is at hand.
        calls: The tool calls that it makes.
        complete: Whether it ended by itself, and not at a limit.
        logprobs: Natural log-probabilities of the tokens that the model chose in writing it, at
            temperature 1; what was decoded from latents is not among them. Only for a reward that
            reads them.
        tokens: How many tokens the answer has.
        earlier: Answers of the same call that were scored before. Only for a relative reward.
    """

    question: str
    answer: str
    conversation: str = ""
    judge: Judge | None = None
    calls: Sequence[ToolCall] = ()
    complete: bool = True
    logprobs: Sequence[float] = ()
    tokens: int = 0
    earlier: Sequence["Case"] = ()


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a reward says of an answer.

    Attributes:
        value: In [-1, 0]; 0 is best.
        vetoed: Never to be accepted, whatever the value.
        checks: The single checks behind the value, for the record.
    """

    value: float
    vetoed: bool = False
    checks: Mapping[str, float] = field(default_factory=dict[str, float])

    def passes(self, threshold: float) -> bool:
        """Whether the answer is accepted: above the threshold, and not vetoed."""
        return self.value > threshold and not self.vetoed


class Reward(ABC):
    """Scores answers in [-1, 0].

    Attributes:
        threshold: Above it an answer is accepted, whatever the settings say: what calibration
            found for this model and reward. None: nobody calibrated it, the settings' holds.
    """

    threshold: float | None = None

    needs_threshold: bool = False
    """Whether its numbers mean nothing beside the settings' threshold: it must be calibrated."""

    relative: bool = False
    """Whether a score means something beside the scores of a question's other answers alone. Calls
    sample answers beside their draft then, and let it see what was scored before."""

    reads_logprobs: bool = False
    """Whether it reads how likely an answer's tokens were."""

    objective: bool = True
    """Whether a search may ascend it; what is not is a part of a sum alone."""

    deterministic: bool = True
    """Whether the same answer always gets the same score; only then is a score remembered."""

    reads_model: bool = True
    """Whether it may ask the model itself, through `Case.judge`. With one that does not, a round
    can end as soon as an answer passes (the setting ``round_ends``)."""

    reads_calls: bool = False
    """Whether it scores tool calls itself; else a turn that calls tools never reaches it."""

    @property
    def id(self) -> str:
        """Identifies this reward: scores of different rewards are never mixed.

        A reward with settings of its own puts them here.
        """
        return f"{type(self).__module__}:{type(self).__qualname__}"

    final_only: bool = False
    """Whether it looks at nothing but the final answer; one that was scored is not scored again."""

    @property
    def scores_rounds(self) -> bool:
        """Whether it scores the answers of a round together."""
        return type(self).score_round is not Reward.score_round

    @abstractmethod
    def score(self, case: Case) -> Score:
        """Score an answer."""

    def score_round(self, cases: Sequence[Case]) -> list[Score]:
        """Score the answers of a round, one score each; as it stands, each by itself.

        A reward that compares a round's answers overrides this, and is not deterministic; so does
        one that can ask for all of them at once.

        Args:
            cases: They share the question, the conversation and the judge.
        """
        return [self.score(case) for case in cases]

    def settled(self, cases: Sequence[Case], unfinished: int, threshold: float) -> bool:  # noqa: ARG002
        """Whether one of a round's answers passes, whatever those say that are still written.

        For a relative reward that can tell; as it stands, none is before all are written.

        Args:
            cases: The answers that have ended.
            unfinished: How many have not; if the round ends now, they are scored with the others
                as empty answers that are not complete.
            threshold: Above it an answer is accepted.
        """
        return False

    @property
    def ends_rounds(self) -> bool:
        """Whether answers can be judged before all of their round are written."""
        if self.relative:
            return not self.reads_model and type(self).settled is not Reward.settled
        return not self.reads_model and not self.scores_rounds


class CallableReward(Reward):
    """Any ``(question, answer) -> float`` in [-1, 0].

    Scores are remembered within a call only if the callable says ``deterministic = True``. One that
    asks the model that answers says ``reads_model = True``.
    """

    def __init__(self, function: Callable[[str, str], float]) -> None:
        self._function = function
        self.deterministic = bool(getattr(function, "deterministic", False))
        self.reads_model = bool(getattr(function, "reads_model", False))

    @property
    def id(self) -> str:
        """Where the function can be imported from; its code's hash beside it where it cannot."""
        function: Any = self._function
        kind = type(function)
        module = getattr(function, "__module__", None) or kind.__module__
        name = f"{module}:{getattr(function, '__qualname__', None) or kind.__qualname__}"
        if "<" not in name:
            return name
        code: Any = getattr(function, "__code__", None)
        source = repr((code.co_code, code.co_consts, code.co_names)) if code else repr(function)
        return f"{name}#{hashlib.sha256(source.encode()).hexdigest()[:16]}"

    def score(self, case: Case) -> Score:
        """Call the function with question and answer."""
        return Score(value=self._function(case.question, case.answer))


def built_in_id(reward: Reward, **arguments: Any) -> str:
    """Name a built-in reward with its arguments, so that it can be identified and rebuilt.

    Its threshold is one of them, where it has one of its own.
    """
    if reward.threshold is not None:
        arguments["threshold"] = reward.threshold
    return f"{type(reward).__name__} {json.dumps(arguments, sort_keys=True)}"


def as_reward(reward: object) -> Reward:
    """Return a reward as it is, or wrap a callable.

    Raises:
        RewardError: If it is neither, or no objective.
    """
    if isinstance(reward, Reward):
        if not reward.objective:
            raise RewardError(
                f"{type(reward).__name__} must not be the only reward: a search that ascends it "
                "makes answers worse; put another before it, for example "
                f"Lexicographic(AgreementReward(), {type(reward).__name__}())"
            )
        return reward
    if callable(reward) and not isinstance(reward, type):
        function: Callable[..., Any] = reward
        return CallableReward(function)
    raise RewardError(
        "reward must be a Reward or a callable (question, answer) -> float in [-1, 0], got "
        f"{reward!r}; for example reward=SelfReward()"
    )


def checked_score(reward: Reward, case: Case) -> Score:
    """Score a case and hold the reward to its contract.

    Raises:
        RewardError: If the reward raises, returns no finite number, or leaves [-1, 0].
        BudgetSpent: If the call's budget ends while a judge works.
    """
    return _contract(reward, [case])[0]


def checked_scores(reward: Reward, cases: Sequence[Case]) -> Iterator[Score | RewardError]:
    """Score a round's cases, and hold the reward to its contract.

    Yields:
        Each case's score, in their order; the error where the reward fails for it.

    Raises:
        BudgetSpent: If the call's budget ends while a judge works.
    """
    if reward.scores_rounds and len(cases) > 1:
        try:
            yield from _contract(reward, cases)
        except RewardError:
            pass  # of one case perhaps: each is asked for by itself
        else:
            return
    for place, case in enumerate(cases):
        if reward.relative:  # still compared with the round's others
            others = (*cases[:place], *cases[place + 1 :])
            beside = tuple(replace(one, earlier=()) for one in others)
            case = replace(case, earlier=(*case.earlier, *beside))
        try:
            yield from _contract(reward, [case])
        except RewardError as error:
            yield error


def checked_settled(
    reward: Reward, cases: Sequence[Case], unfinished: int, threshold: float
) -> bool:
    """Ask a relative reward whether a round may end; what fails is told when it is scored."""
    try:
        return reward.settled(cases, unfinished, threshold)
    except (BudgetSpent, CallCancelled):
        raise
    except Exception:
        return False


def _contract(reward: Reward, cases: Sequence[Case]) -> list[Score]:
    """Return what a reward says of cases, held to its contract."""
    try:
        scores: Any = reward.score_round(cases)
    except (BudgetSpent, CallCancelled, RewardError):
        raise
    except Exception as error:
        raise RewardError(
            f"a reward must not raise, but {_name(reward)} raised {type(error).__name__}: "
            f"{error}; fix it or catch the error inside"
        ) from error
    if not isinstance(scores, list) or len(scores) != len(cases):
        raise RewardError(
            "a reward's score_round() must return a list of one Score an answer, but "
            f"{_name(reward)} returned {scores!r} for {len(cases)}; return them in their order"
        )
    for returned in scores:  # a reward may be anybody's code
        if not isinstance(returned, Score):
            raise RewardError(
                f"a reward's score() must return a Score, but {_name(reward)} returned "
                f"{returned!r}; return Score(value=...)"
            )
    return [replace(one, value=_checked_value(_name(reward), one.value)) for one in scores]


def _checked_value(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    if math.isnan(number) or not -1 <= number <= 0:
        raise RewardError(
            f"a reward must be a number in [-1, 0], but {name} returned {value!r}; map the best "
            "answer to 0 and the worst to -1"
        )
    return number


def _name(reward: Reward) -> str:
    function = getattr(reward, "_function", None)
    return getattr(function, "__name__", None) or type(function or reward).__name__

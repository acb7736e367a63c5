"""The outcome of a call: the answer, and how it was reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from latent_agent.tools.call import ToolCall

if TYPE_CHECKING:
    from latent_agent.call.call import Call
    from latent_agent.call.log_probabilities import AnswerToken, ReadAgain
    from latent_agent.recall.types import Recalled, Stored
    from latent_agent.search.types import SearchRecord, Trial


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a call.

    Attributes:
        text: The answer; what it says outside its tool calls, if it makes any. Empty if the call
            ended while the model thought.
        thought: What the model thought before it answered.
        calls: The tools that it calls.
        draft: The draft's text; None if a warm start made it unnecessary, or its round ended before
            it did.
        finish: Why the answer ended: ``stop`` or ``length``, or the budget that was spent.
        stopped: Why the call ended: ``threshold``, ``iterations``, ``patience``, ``time``,
            ``tokens``, ``reward_error`` or ``unjudged``.
        source: Where the answer comes from: ``draft``, ``sample`` (a sampled draft), ``prior``,
            ``memory`` or ``search``.
        rewards: The reward of each answer, a tuple for each round: the starts, then the search's.
        reward: The answer's own; what is vetoed may have a higher one. None: it was not judged.
        iterations: Rounds of the search.
        checks: The reward's single checks of the answer.
        error: What a failing reward said, of one answer or of all.
        neighbours: Ids of the traces that a warm start was made from, whether it was of use or not.
        prior: Version of the latent prior that one was made with.
        trace_id: The stored trace.
        answer_id: What feedback on the answer goes to.
        memory_error: Why something was not recalled or stored: what the memory, the embedder or
            the prior failed with.
        memory_failure: The name of its error.
        recall_seconds: How long looking for neighbours and prior took; None: there was no look-up.
        forwarded_tokens: Token counts by stage.
        prompt_tokens: Length of the prompt.
        answer_tokens: Length of the answer, the thought included.
        thinking_tokens: Length of the thought, its tags included.
        tokens: Ids of all that was written, thought and stop token included.
        likely: The answer's tokens with their log-probabilities; None: nobody asked for them.
    """

    text: str
    draft: str | None
    finish: str
    stopped: str
    source: str = "draft"
    thought: str = ""
    calls: Sequence[ToolCall] = ()
    rewards: Sequence[Sequence[float]] = ()
    reward: float | None = None
    iterations: int = 0
    checks: Mapping[str, float] = field(default_factory=dict[str, float])
    error: str | None = None
    neighbours: Sequence[int] = ()
    prior: str | None = None
    trace_id: int | None = None
    answer_id: int | None = None
    memory_error: str | None = None
    memory_failure: str | None = None
    recall_seconds: float | None = None
    forwarded_tokens: Mapping[str, int]
    prompt_tokens: int
    answer_tokens: int
    thinking_tokens: int = 0
    tokens: Sequence[int] = ()
    likely: "Sequence[AnswerToken] | None" = None

    def with_likely(self, answered: "ReadAgain") -> "Outcome":
        """Return the outcome with its tokens' log-probabilities, and what it took to get them."""
        spent = {**self.forwarded_tokens, "logprobs": answered.forwarded}
        return replace(self, likely=answered.tokens, forwarded_tokens=spent)

    def with_memory(self, recalled: "Recalled", stored: "Stored") -> "Outcome":
        """Return the outcome with what was recalled and stored."""
        failure = stored.error or recalled.error
        return replace(
            self,
            neighbours=recalled.ids,
            prior=recalled.prior,
            recall_seconds=recalled.seconds,
            trace_id=stored.trace_id,
            answer_id=stored.answer_id,
            memory_error=None if failure is None else str(failure),
            memory_failure=None if failure is None else type(failure).__name__,
        )


def outcome_of(call: "Call", search: "SearchRecord") -> Outcome:
    """Return the best answer of a search, or the draft if nothing was scored."""
    if search.best is None:
        return unjudged(call, search)
    return searched(call, search, search.best.trial)


def unjudged(call: "Call", search: "SearchRecord | None" = None) -> Outcome:
    """Return the draft as it is: nothing was scored, or nothing was to be.

    If a budget cut the draft short, a warm start's answer that was whole before goes first.
    """
    draft = call.writer.draft()
    cut_short = not draft.whole
    answer, source = call.last if cut_short and call.last is not None else (draft, "draft")
    stopped = "unjudged" if search is None else search.stopped
    return _outcome(
        call,
        answer.tokens,
        answer.text,
        finish=answer.finish,
        source=source,
        stopped=draft.finish if cut_short else stopped,
        error=None if search is None else search.error,
    )


def searched(call: "Call", search: "SearchRecord", best: "Trial") -> Outcome:
    """Return an answer of a search."""
    return _outcome(
        call,
        best.tokens,
        best.text,
        finish=best.finish,
        source=best.source,
        stopped=search.stopped,
        rewards=tuple(search.rewards),
        reward=best.score.value,
        iterations=search.iterations,
        checks=best.score.checks,
        error=search.error if call.failure is None else str(call.failure),
    )


def _outcome(call: "Call", tokens: Sequence[int], text: str, **details: Any) -> Outcome:
    text, calls = call.read(tokens, text)
    parts, drafted = call.thinking.parts(tokens), call.writer.drafted
    return Outcome(
        text=text,
        thought=parts.thought,
        calls=calls,
        draft=None if drafted is None or drafted.finish == "discarded" else drafted.text,
        forwarded_tokens=call.budget.token_counts(),
        prompt_tokens=len(call.prompt),
        answer_tokens=len(tokens),
        thinking_tokens=parts.thinking_tokens,
        tokens=tuple(tokens),
        **details,
    )

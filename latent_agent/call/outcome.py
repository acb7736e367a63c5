"""What a call came to: the answer, and how it came about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from latent_agent.tools.call import ToolCall

if TYPE_CHECKING:
    from latent_agent.call.call import Call
    from latent_agent.search.refine import Search, Trial


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a call came to.

    Attributes:
        text: The answer; what it says outside its tool calls, if it makes any. Empty if the call
            ended while the model thought.
        thought: What the model thought before it answered.
        calls: The tools that it calls.
        draft: The draft's text; None if a warm start made it unnecessary.
        finish: Why the answer ended: ``stop`` or ``length``, or the budget that was spent.
        stopped: Why the call ended: ``threshold``, ``iterations``, ``patience``, ``time``,
            ``tokens``, ``reward_error`` or ``unjudged``.
        source: Where the answer comes from: ``draft``, ``prior``, ``memory`` or ``search``.
        rewards: One float per draft, warm start and gradient step, repeats included.
        reward: The answer's own, which need not be among them: of several samples a round has the
            mean, and what is vetoed may have a higher one. None: it was not judged.
        iterations: Gradient steps taken.
        checks: The reward's single findings on the answer.
        error: What a failing reward said.
        neighbours: Ids of the traces that a warm start was made from, whether it was of use or not.
        prior: Version of the latent prior that one was made with.
        trace_id: The stored trace.
        memory_error: Why something was not recalled or stored: what the memory, the embedder or
            the prior failed with.
        memory_failure: The name of its error.
        recall_seconds: How long looking for neighbours and prior took; None: nobody looked.
        forwarded_tokens: The bill by stage.
        prompt_tokens: Length of the prompt.
        answer_tokens: Length of the answer, the thought included.
        thinking_tokens: Length of the thought, its tags included.
    """

    text: str
    draft: str | None
    finish: str
    stopped: str
    source: str = "draft"
    thought: str = ""
    calls: Sequence[ToolCall] = ()
    rewards: Sequence[float] = ()
    reward: float | None = None
    iterations: int = 0
    checks: Mapping[str, float] = field(default_factory=dict[str, float])
    error: str | None = None
    neighbours: Sequence[int] = ()
    prior: str | None = None
    trace_id: int | None = None
    memory_error: str | None = None
    memory_failure: str | None = None
    recall_seconds: float | None = None
    forwarded_tokens: Mapping[str, int]
    prompt_tokens: int
    answer_tokens: int
    thinking_tokens: int = 0


def unjudged(call: "Call", search: "Search | None" = None) -> Outcome:
    """Return the draft as it is: nothing was scored, or nothing was to be.

    If a budget cut the draft short, a warm start's answer that was whole before goes first.
    """
    draft = call.draft()
    answer, source = draft, "draft"
    if draft.finish in ("time", "tokens") and call.last is not None:
        answer, source = call.last
    text, calls = call.read(answer.tokens, answer.text)
    parts = call.thinking.parts(answer.tokens)
    stopped = "unjudged" if search is None else search.stopped
    return Outcome(
        text=text,
        thought=parts.thought,
        calls=calls,
        draft=draft.text,
        finish=answer.finish,
        source=source,
        stopped=draft.finish if draft.finish in ("time", "tokens") else stopped,
        error=None if search is None else search.error,
        forwarded_tokens=call.budget.token_counts(),
        prompt_tokens=len(call.prompt),
        answer_tokens=len(answer.tokens),
        thinking_tokens=parts.thinking_tokens,
    )


def searched(call: "Call", search: "Search", best: "Trial") -> Outcome:
    """Return the best answer of a search."""
    text, calls = call.read(best.tokens, best.text)
    parts = call.thinking.parts(best.tokens)
    return Outcome(
        text=text,
        thought=parts.thought,
        calls=calls,
        draft=call.draft_text,
        finish=best.finish,
        stopped=search.stopped,
        source=best.source,
        rewards=tuple(search.rewards),
        reward=best.score.value,
        iterations=search.iterations,
        checks=best.score.checks,
        error=search.error,
        forwarded_tokens=call.budget.token_counts(),
        prompt_tokens=len(call.prompt),
        answer_tokens=len(best.tokens),
        thinking_tokens=parts.thinking_tokens,
    )

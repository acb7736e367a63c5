"""What one call has to read and write, token by token: the floor is paid for this alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dev.bench.plan import Bench
from dev.bench.rewards import Watched
from latent_agent.call.call import Call
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.reward.judge import JudgeRequest
from latent_agent.search.refine import Search
from latent_agent.search.types import Candidate, Start, Trial

Ids = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Judging:
    """One answer's checks: prompts, and the longest replies; 1 where logits are read."""

    prompts: tuple[Ids, ...]
    longest: int


@dataclass(frozen=True, kw_only=True)
class Record:
    """One call, as far as a model must work for it.

    Attributes:
        prompt: Ids of the prompt.
        answer: Tokens of the draft.
        prefixes: Each changed prefix that was not seen before, in order.
        judged: What the judge was asked: first of the draft, then of each new answer.
        steps: Gradient steps taken.
        limit: Longest answer.
    """

    prompt: Ids
    answer: Ids
    prefixes: tuple[Ids, ...]
    judged: tuple[Judging, ...]
    steps: int
    limit: int


class _RecordedCall(Call):
    """Keeps the first answer of each prefix; the draft's comes first."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.seen: dict[Ids, Trial] = {}

    def scored_draft(self) -> Start:
        start = super().scored_draft()
        self.seen[start.trial.prefix] = start.trial
        return start

    def attempts(self, rows: Sequence[Candidate], source: str = "search") -> Iterator[Trial | None]:
        for trial in super().attempts(rows, source):
            if trial is not None:
                self.seen.setdefault(trial.prefix, trial)
            yield trial


def record(bench: Bench) -> list[Record]:
    """Make each call once, and write down what it read and wrote."""
    return [_record(bench, turn) for turn in bench.turns]


def _record(bench: Bench, turn: Turn) -> Record:
    reward = Watched(bench.plan.reward())
    prompt = encode_chat(bench.tokenizer, [turn])
    call = _RecordedCall(bench.shared, bench.settings, reward, [turn], prompt)
    search = Search(call, bench.settings)
    with search:
        search.start_from([[call.scored_draft()]])
        search.refine()
    draft, *changed = call.seen
    stops = call.engine.stop_ids
    return Record(
        prompt=tuple(prompt),
        answer=call.seen[draft].tokens,
        prefixes=tuple(prefix for prefix in changed if prefix[-1] not in stops),
        judged=tuple(_judging(bench, requests) for requests in reward.asked),
        steps=search.record.iterations,
        limit=bench.settings.max_tokens,
    )


def _judging(bench: Bench, requests: Sequence[JudgeRequest]) -> Judging:
    return Judging(
        prompts=tuple(
            tuple(encode_chat(bench.tokenizer, [Turn("user", request.prompt)]))
            for request in requests
        ),
        longest=max(1 if request.choices else request.max_tokens for request in requests),
    )

"""Prefixes to whole answers, token by token: to a stop token, a stop text or a limit.

For engines that make one token after the other; one that writes whole answers needs none of it.
"""

import itertools
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch

from latent_agent.errors import BudgetSpent
from latent_agent.model.budget import Stage
from latent_agent.model.engine import Completion, Engine, Finish, Writing
from latent_agent.model.stop_strings import holds_stop
from latent_agent.model.thinking import Thinking

_WORTH_A_PASS = 32  # tokens that groups of rows share, to be read before the rows

PassOutput = tuple[torch.Tensor, torch.Tensor]
"""Latents, (rows, d) float32, and their logits, (rows, vocabulary)."""


class Rows(Protocol):
    """Rows that go on from a sequence, each with ids of its own, and leave it as it is."""

    def joined(self) -> AbstractContextManager[object]:
        """Decode together with other calls until this is left."""
        ...

    def read(self, *, latents: bool) -> PassOutput:
        """Read each row's own ids; latents that are not wanted may be anything."""
        ...

    def step(self, tokens: Sequence[int | None]) -> PassOutput:
        """Read the next token of each row; None: the row has ended, what it gives is unused."""
        ...

    def branch(self, rows: Sequence[int], tails: Sequence[Sequence[int]]) -> "Rows":
        """Read each row's own ids; return rows that go on from these, which are used no more.

        Args:
            rows: For each new row the one that it goes on from, in their order.
            tails: The new rows' own ids.
        """
        ...


class Steps(Protocol):
    """A sequence that reads one token after the other."""

    @property
    def engine(self) -> Engine:
        """What reads."""
        ...

    @property
    def rows_at_once(self) -> int:
        """How many rows may be forked from it."""
        ...

    def batched(self) -> AbstractContextManager[object]:
        """Read single tokens in one batch with other calls, until this is left."""
        ...

    def hold(self, ids: Sequence[int], stage: Stage) -> None:
        """Make the sequence hold ``ids``, or nothing."""
        ...

    def read(self, ids: Sequence[int], stage: Stage, *, latents: bool) -> PassOutput:
        """Make the sequence hold ``ids``; return what follows them, of one row.

        Latents that are not wanted may be anything.
        """
        ...

    def extend(self, token: int, stage: Stage) -> PassOutput:
        """Append a token and return what follows it, of one row."""
        ...

    def fork(self, tails: Sequence[Sequence[int]], stage: Stage) -> Rows:
        """Return rows that all go on from here."""
        ...


def write(sequence: Steps, rows: Sequence[Writing], stage: Stage) -> list[Completion]:
    """Write each row's answer; see `TokenSequence.write`."""
    answers = [_Answer(sequence.engine, row) for row in rows]
    try:
        if not answers:
            return []
        if len(answers) == 1:
            _write_one(sequence, answers[0], stage)
        else:
            _write_forked(sequence, answers, stage)
    except BudgetSpent as spent:
        _end(answers, spent)
    return [answer.completion() for answer in answers]


def unwritten(sequence: Steps, rows: Sequence[Writing], spent: BudgetSpent) -> list[Completion]:
    """Return what rows come to where the budget was spent before anything was read."""
    answers = [_Answer(sequence.engine, row) for row in rows]
    _end(answers, spent)
    return [answer.completion() for answer in answers]


def _end(answers: Sequence["_Answer"], spent: BudgetSpent) -> None:
    for answer in answers:
        answer.finish = answer.finish or ("time" if spent.reason == "time" else "tokens")


def next_logits(sequence: Steps, prompts: Sequence[Sequence[int]], stage: Stage) -> torch.Tensor:
    """Return the logits of what follows each prompt; see `TokenSequence.next_logits`."""
    forked = _forks(sequence, prompts, stage)
    return torch.cat([rows.read(latents=False)[1] for _, rows in forked])


def _write_one(sequence: Steps, answer: "_Answer", stage: Stage) -> None:
    with sequence.batched():
        if answer.finish is None:
            wanted = answer.row.latents
            answer.take(sequence.read(answer.ids, stage, latents=wanted))
        while answer.finish is None:
            answer.choose()
            if answer.finish is None:
                answer.take(sequence.extend(answer.tokens[-1], stage))


def _write_forked(sequence: Steps, answers: Sequence["_Answer"], stage: Stage) -> None:
    going = [answer for answer in answers if answer.finish is None]
    for places, rows in _forks(sequence, [answer.ids for answer in going], stage):
        _decode(rows, [going[place] for place in places])


def write_forked(
    sequence: Steps, rows: Sequence[Writing], fork: Callable[[Sequence[Writing]], Rows]
) -> list[Completion]:
    """Write each row's answer, where a caller forks the rows."""
    answers = [_Answer(sequence.engine, row) for row in rows]
    going = [answer for answer in answers if answer.finish is None]
    try:
        for first in range(0, len(going), sequence.rows_at_once):
            block = going[first : first + sequence.rows_at_once]
            _decode(fork([answer.row for answer in block]), block)
    except BudgetSpent as spent:
        _end(answers, spent)
    return [answer.completion() for answer in answers]


def _decode(rows: Rows, answers: Sequence["_Answer"]) -> None:
    with rows.joined():
        output = rows.read(latents=any(answer.row.latents for answer in answers))
        while True:
            for number, answer in enumerate(answers):
                if answer.finish is None:
                    answer.take((output[0][number : number + 1], output[1][number : number + 1]))
                    answer.choose()
            if all(answer.finish for answer in answers):
                return
            output = rows.step([None if answer.finish else answer.tokens[-1] for answer in answers])


def _forks(
    sequence: Steps, rows: Sequence[Sequence[int]], stage: Stage
) -> Generator[tuple[range, Rows]]:
    """Read what all rows share, and fork the rest: a block of rows at a time, by their places."""
    # The last id of each row stays out of what is shared: its state starts the answer.
    shared = min(common_length(rows), min((len(ids) for ids in rows), default=1) - 1)
    sequence.hold(rows[0][:shared] if rows else (), stage)
    width = sequence.rows_at_once
    for first in range(0, len(rows), width):
        places = range(first, min(first + width, len(rows)))
        tails = [rows[place][shared:] for place in places]
        if (heads := _heads(tails)) is None:
            yield places, sequence.fork(tails, stage)
            continue
        forked = sequence.fork([tails[group[0]][:length] for group, length in heads], stage)
        sources = [number for number, (group, _) in enumerate(heads) for _ in group]
        own = [tails[place][length:] for group, length in heads for place in group]
        yield places, forked.branch(sources, own)


def _heads(tails: Sequence[Sequence[int]]) -> list[tuple[range, int]] | None:
    """Part neighbouring rows into groups that begin alike; return each with its common length.

    So the checks of an answer share it, where the checks of other answers stand beside them. None:
    too little is shared to be read by itself.
    """
    ends = [
        place
        for place in range(1, len(tails))
        if common_length(tails[place - 1 : place + 1]) * 2 < len(tails[place])
    ]
    heads: list[tuple[range, int]] = []
    for first, end in itertools.pairwise([0, *ends, len(tails)]):
        group = tails[first:end]
        length = min(common_length(group), min(map(len, group)) - 1)
        heads.append((range(first, end), length))
    saved = sum((len(group) - 1) * length for group, length in heads)
    if saved < _WORTH_A_PASS or any(length == 0 for _, length in heads):
        return None
    return heads


class _Answer:
    """An answer that is being written."""

    def __init__(self, engine: Engine, row: Writing) -> None:
        self.row, self._engine = row, engine
        self.tokens = list(row.prefix[: row.limits.max_tokens])
        self._thinking = Thinking(engine, row.prompt)
        self._begins = self._thinking.answer_at(self.tokens, len(self.tokens))
        self._sent = 0 if self._begins is None else len(self.tokens)
        self._latents: list[torch.Tensor] = []
        self._logits: torch.Tensor | None = None
        self._logprobs: list[float] = []
        self.finish: Finish | None = self._ended(new=len(self.tokens))

    @property
    def ids(self) -> list[int]:
        """Prompt and answer."""
        return [*self.row.prompt, *self.tokens]

    def take(self, output: PassOutput) -> None:
        """Take in the latent of the next token, and its logits, of one row."""
        if self.row.latents:
            self._latents.append(output[0][0])
        self._logits = output[1][0]

    def choose(self) -> None:
        """Choose the next token."""
        assert self._logits is not None
        self.tokens.append(self.row.sampler.choose(self._logits, self.tokens))
        if self.row.logprobs:
            logits = self._logits.float()
            self._logprobs.append(float(logits[self.tokens[-1]] - logits.logsumexp(0)))
        if self._begins is None:
            self._begins = self._thinking.answer_at(self.tokens, 1)
        if self.row.on_token is not None and self._begins is not None:
            for token in self.tokens[max(self._sent, self._begins) :]:
                self.row.on_token(token)
            self._sent = len(self.tokens)
        self.finish = self._ended(new=1)

    def _ended(self, new: int) -> Finish | None:
        if self.tokens and self.tokens[-1] in self._engine.stop_ids:
            return "stop"
        begins, limits = self._begins, self.row.limits
        if begins is not None:

            def text(ids: Sequence[int]) -> str:
                # What stands between a thought and its answer is part of neither.
                return self._engine.text(ids).lstrip() if begins else self._engine.text(ids)

            answer = self.tokens[begins:]
            if holds_stop(text, answer, limits.stop, min(new, len(answer))):
                return "stop"
        return "length" if len(self.tokens) >= limits.max_tokens else None

    def completion(self) -> Completion:
        """Return what was written."""
        parts = self._thinking.parts(self.tokens)
        none = torch.empty(0, self._engine.width, device=self._engine.device)
        return Completion(
            tokens=tuple(self.tokens),
            text=cut_at_stop(parts.answer, self.row.limits.stop),
            latents=torch.stack(self._latents) if self._latents else none,
            finish=self.finish or "length",
            thought_finished=parts.finished,
            logprobs=tuple(self._logprobs),
        )


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Cut a text before the first stop text in it."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return text[: min(places)] if places else text


def common_length(rows: Sequence[Sequence[int]]) -> int:
    """Return how many leading ids all rows share."""
    shared = 0
    for column in zip(*rows, strict=False):
        if any(token != column[0] for token in column):
            break
        shared += 1
    return shared


def spread(outputs: torch.Tensor, rows: Sequence[int], count: int) -> torch.Tensor:
    """Put outputs into the rows that they belong to."""
    if len(rows) == count:
        return outputs
    spread = outputs.new_zeros(count, outputs.shape[-1])
    spread[list(rows)] = outputs
    return spread

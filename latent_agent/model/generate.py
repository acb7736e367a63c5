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
from latent_agent.model.engine import Completion, Engine, Writing
from latent_agent.model.open_answer import OpenAnswer, PassOutput

_WORTH_A_PASS = 32  # tokens that groups of rows share, to be read before the rows


class Rows(Protocol):
    """Rows that go on from a sequence, each with ids of its own, and leave it as it is."""

    def joined(self, *, keep: bool) -> AbstractContextManager[object]:
        """Decode together with other calls until this is left; ``keep``: and then again."""
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
    answers = [OpenAnswer(sequence.engine, row) for row in rows]
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
    answers = [OpenAnswer(sequence.engine, row) for row in rows]
    _end(answers, spent)
    return [answer.completion() for answer in answers]


def _end(answers: Sequence[OpenAnswer], spent: BudgetSpent) -> None:
    for answer in answers:
        answer.finish = answer.finish or ("time" if spent.reason == "time" else "tokens")


def next_logits(sequence: Steps, prompts: Sequence[Sequence[int]], stage: Stage) -> torch.Tensor:
    """Return the logits of what follows each prompt; see `TokenSequence.next_logits`."""
    forked = _forks(sequence, prompts, stage)
    return torch.cat([rows.read(latents=False)[1] for _, rows in forked])


def _write_one(sequence: Steps, answer: OpenAnswer, stage: Stage) -> None:
    with sequence.batched():
        if answer.finish is None:
            wanted = answer.row.latents
            answer.take(sequence.read(answer.ids, stage, latents=wanted))
        while answer.finish is None:
            answer.choose()
            if answer.finish is None:
                answer.take(sequence.extend(answer.tokens[-1], stage))


def _write_forked(sequence: Steps, answers: Sequence[OpenAnswer], stage: Stage) -> None:
    going, last = _begun(answers)
    for places, rows in _forks(sequence, [answer.ids for answer in going], stage):
        last = _decode(rows, [going[place] for place in places], last)


def write_forked(
    sequence: Steps, rows: Sequence[Writing], fork: Callable[[Sequence[Writing]], Rows]
) -> list[Completion]:
    """Write each row's answer, where a caller forks the rows."""
    answers = [OpenAnswer(sequence.engine, row) for row in rows]
    try:
        going, last = _begun(answers)
        for first in range(0, len(going), sequence.rows_at_once):
            block = going[first : first + sequence.rows_at_once]
            last = _decode(fork([answer.row for answer in block]), block, last)
    except BudgetSpent as spent:
        _end(answers, spent)
    return [answer.completion() for answer in answers]


def _begun(answers: Sequence[OpenAnswer]) -> tuple[list[OpenAnswer], int | None]:
    """Return the answers that go on, and 0 if those that their prefixes end also end the round."""
    ended = [answer for answer in answers if answer.finish is not None]
    if any([answer.told() for answer in ended]):
        return [], 0
    return [answer for answer in answers if answer.finish is None], None


def _decode(rows: Rows, answers: Sequence[OpenAnswer], last: int | None) -> int | None:
    """Write answers until all have ended, or so many tokens behind their prefixes.

    Args:
        rows: What they are read in.
        answers: None has ended.
        last: The token that ends their round, once that is known from rows written before; so
            what it comes to does not hang on how many fit into one batch.

    Returns:
        The token that ends their round, as far as it is known now; None: it goes on.
    """
    telling = any(answer.row.on_end is not None for answer in answers)
    going = list(answers)
    while going and going[0].new != last:
        # Left before an end is told: what hears of it may take its time, and others need not wait.
        with rows.joined(keep=telling):
            while True:
                ended = _pass(rows, answers)
                going = [answer for answer in going if answer.finish is None]
                if not going or going[0].new == last or (telling and ended):
                    break
        if any([answer.told() for answer in ended]):
            last = ended[0].new
    return last


def _pass(rows: Rows, answers: Sequence[OpenAnswer]) -> list[OpenAnswer]:
    """Choose one token of each answer that goes on; return those that end with it."""
    going = [(number, answer) for number, answer in enumerate(answers) if answer.finish is None]
    if going[0][1].new:
        latents, logits = rows.step([one.tokens[-1] if not one.finish else None for one in answers])
    else:
        latents, logits = rows.read(latents=any(answer.row.latents for answer in answers))
    for number, answer in going:
        answer.take((latents[number : number + 1], logits[number : number + 1]))
        answer.choose()
    return [answer for _, answer in going if answer.finish is not None]


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

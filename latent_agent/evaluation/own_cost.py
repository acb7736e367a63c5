"""What a call would have forwarded alone, where others have written for it."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

import torch

from latent_agent.model import generate
from latent_agent.model.budget import Budget, Stage
from latent_agent.model.engine import AnswerLimits, Completion, Engine, OnEnd, Writing
from latent_agent.model.generate import common_length
from latent_agent.model.open_answer import PassOutput
from latent_agent.model.sampling import KnownAnswer

_ROWS = 64  # rows in one pass


class OwnCost:
    """Books what a sequence that writes for one call alone would have forwarded.

    What was written is written again by the rules of `model.generate`, with tokens that are known
    and without a model. The last token of what is held is read again, for what follows it.

    Args:
        engine: The model's.
        budget: The call's.
    """

    def __init__(self, engine: Engine, budget: Budget) -> None:
        self.engine, self._budget = engine, budget
        self._held: list[int] = []
        # Rows of a sliding window are not padded.
        self.rows_at_once = 1 if getattr(engine, "slides", False) else _ROWS

    def embedded(self, ids: Sequence[int], stage: Stage) -> None:
        """Book the embedding of a prompt."""
        self._budget.charge(stage, len(ids))
        self._held = list(ids)

    def written(
        self, rows: Sequence[Writing], answers: Sequence[Completion], stage: Stage
    ) -> list[Completion]:
        """Book rows that are written together, with what they came to.

        Returns:
            The answers, those discarded that the end of another ends.
        """
        known = [
            replace(
                row,
                limits=AnswerLimits(max_tokens=len(answer.tokens)),
                sampler=KnownAnswer(answer.tokens),
                latents=False,
                logprobs=False,
                on_token=None,
                on_end=None if row.on_end is None else partial(_told, row.on_end, answer),
            )
            for row, answer in zip(rows, answers, strict=True)
        ]
        booked = generate.write(self, known, stage)
        return [
            replace(answer, tokens=one.tokens, finish=one.finish)
            if one.finish == "discarded"
            else answer
            for answer, one in zip(answers, booked, strict=True)
        ]

    def behind(self, rows: Sequence[Writing], answers: Sequence[Completion], stage: Stage) -> None:
        """Book rows behind soft prefixes; an answer's last token is not read."""
        prefixes = sum(0 if row.soft is None else len(row.soft.ids) for row in rows)
        written = sum(len(answer.tokens) - 1 for answer in answers)
        self.read_behind(rows[0].prompt, prefixes + written, stage)

    def read_behind(self, prompt: Sequence[int], tokens: int, stage: Stage) -> None:
        """Book so many tokens behind a prompt, in rows of their own."""
        self.hold(prompt, stage)
        self._budget.charge(stage, tokens)

    def judged(self, prompts: Sequence[Sequence[int]], stage: Stage) -> None:
        """Book prompts that are read together, for the logits of what follows."""
        generate.next_logits(self, prompts, stage)

    @contextmanager
    def batched(self) -> Generator[None]:
        """Read nothing with others; of `Steps`, as all below."""
        yield

    def hold(self, ids: Sequence[int], stage: Stage) -> None:
        """Book what is not held yet."""
        if self._held != list(ids):
            known = min(common_length([self._held, ids]), max(0, len(ids) - 1))
            self._budget.charge(stage, len(ids) - known)
            self._held = list(ids)

    def read(self, ids: Sequence[int], stage: Stage, *, latents: bool) -> PassOutput:  # noqa: ARG002
        """Book what is not held yet."""
        self.hold(ids, stage)
        return _nothing(1)

    def extend(self, token: int, stage: Stage) -> PassOutput:
        """Book a token."""
        self._budget.charge(stage, 1)
        self._held.append(token)
        return _nothing(1)

    def fork(self, tails: Sequence[Sequence[int]], stage: Stage) -> "RowsCost":
        """Return rows that go on from what is held."""
        return RowsCost(self._budget, tails, stage)


class RowsCost:
    """Books what rows would have forwarded that go on from one sequence."""

    def __init__(self, budget: Budget, tails: Sequence[Sequence[int]], stage: Stage) -> None:
        self._budget, self._tails = budget, tails
        self._stage: Stage = stage

    def joined(self, *, keep: bool) -> nullcontext[None]:  # noqa: ARG002
        """Decode with nobody."""
        return nullcontext()

    def read(self, *, latents: bool) -> PassOutput:  # noqa: ARG002
        """Book each row's own ids."""
        self._budget.charge(self._stage, sum(map(len, self._tails)))
        return _nothing(len(self._tails))

    def step(self, tokens: Sequence[int | None]) -> PassOutput:
        """Book a token of each row that has not ended."""
        self._budget.charge(self._stage, sum(token is not None for token in tokens))
        return _nothing(len(tokens))

    def branch(self, rows: Sequence[int], tails: Sequence[Sequence[int]]) -> "RowsCost":  # noqa: ARG002
        """Book each row's own ids; return rows that go on from these."""
        self.read(latents=False)
        return RowsCost(self._budget, tails, self._stage)


def _told(on_end: OnEnd, answer: Completion, _: Completion, token: int) -> bool:
    """Tell of an answer's end with all that is known of it."""
    return on_end(answer, token)


def _nothing(rows: int) -> PassOutput:
    return torch.empty(rows, 0), torch.empty(rows, 0)

"""Token ids that llama.cpp has read: kept, gone back to, and forked without a copy."""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch

from latent_agent.errors import BudgetSpent
from latent_agent.model import generate
from latent_agent.model.batch_scheduler import BatchScheduler
from latent_agent.model.budget import Budget, Stage
from latent_agent.model.engine import Completion, Engine, TokenSequence, Writing
from latent_agent.model.generate import common_length, spread
from latent_agent.model.llama_engine.cells import Cells, Place
from latent_agent.model.llama_engine.context import READ_AT_ONCE, Context, Token
from latent_agent.model.llama_engine.passes import TokenGroup
from latent_agent.model.open_answer import PassOutput


class ContextEngine(Engine):
    """What a sequence needs of its engine beyond the seam.

    Attributes:
        context: Keys and values of all sequences.
        scheduler: The order in which threads use it.
        cells: Who holds what of it.
    """

    context: Context
    scheduler: BatchScheduler
    cells: Cells


class LlamaSequence(TokenSequence):
    """One row of token ids whose keys and values lie in the context, while there is room.

    Attributes:
        place: Where it is kept in the context; None: it holds nothing.
    """

    def __init__(self, engine: ContextEngine, budget: Budget) -> None:
        self.engine, self._budget = engine, budget
        self.place: Place | None = None
        self._ids: list[int] = []
        self._output: PassOutput | None = None  # after the ids, while it is known
        self._numbers: list[int] = []  # of rows to be forked
        self._group: TokenGroup | None = None  # while `batched`

    def __del__(self) -> None:
        if self.place is not None:
            self.engine.cells.leave(self.place)

    @property
    def length(self) -> int:
        """How many cells it holds."""
        return len(self._ids)

    def forget(self) -> None:
        """Take note that its cells are gone."""
        self.place, self._ids, self._output = None, [], None

    def embed(self, ids: Sequence[int], stage: Stage) -> torch.Tensor:
        """Read a prompt into the empty sequence and return its embedding, (d,) float32."""
        with self.engine.cells.claimed(self, len(ids), 0, self._check):
            self.read(ids, stage, latents=True)
        return self.engine.embed([ids])[0]

    def write(self, rows: Sequence[Writing], stage: Stage) -> list[Completion]:
        """Write each row's answer, all at once."""
        begun = [[*row.prompt, *row.prefix] for row in rows]
        most = [
            max(len(ids), len(row.prompt) + row.limits.max_tokens)
            for ids, row in zip(begun, rows, strict=True)
        ]
        try:
            with self._room(begun, most):
                return generate.write(self, rows, stage)
        except BudgetSpent as spent:  # while it waited for room
            return generate.unwritten(self, rows, spent)

    def next_logits(self, prompts: Sequence[Sequence[int]], stage: Stage) -> torch.Tensor:
        """Return the logits of what follows each prompt, (rows, vocabulary)."""
        with self._room(prompts, [len(prompt) for prompt in prompts], fork=True):
            return generate.next_logits(self, prompts, stage)

    @contextmanager
    def _room(
        self, begun: Sequence[Sequence[int]], most: Sequence[int], *, fork: bool = False
    ) -> Generator[None]:
        """Claim the cells of rows that share their beginning, and end at known lengths at most."""
        cells, claimed, forks = self.engine.cells, max(most, default=0), 0
        if fork or len(begun) > 1:
            shared = min(common_length(begun), min(map(len, begun)) - 1)
            longest = max(1, max(most) - shared)
            forks = max(1, (cells.total - shared) // longest)
            forks = min(forks, len(begun), cells.sequences - 1)
            claimed = min(shared + forks * longest, cells.total)
        with cells.claimed(self, claimed, forks, self._check) as self._numbers:
            yield

    def _check(self) -> None:
        self._budget.charge("draft", 0)

    @property
    def rows_at_once(self) -> int:
        """How many rows may be forked."""
        return len(self._numbers)

    @property
    def _number(self) -> int:
        assert self.place is not None
        return self.place.number

    def hold(self, ids: Sequence[int], stage: Stage) -> None:
        """Make this sequence hold ``ids``, or nothing."""
        keep = self._crop(common_length([self._ids, ids]))
        if keep < len(ids):
            with self.engine.scheduler.alone():
                self._budget.charge(stage, len(ids) - keep)
                self._read(ids[keep:], latents=False, output=False)

    def read(self, ids: Sequence[int], stage: Stage, *, latents: bool) -> PassOutput:
        """Make this sequence hold ``ids``; return what follows them."""
        known = self._output is not None and (not latents or self._output[0].shape[-1] > 0)
        if not known or self._ids != list(ids):
            keep = self._crop(min(common_length([self._ids, ids]), len(ids) - 1))
            with self.engine.scheduler.alone():
                self._budget.charge(stage, len(ids) - keep)
                self._read(ids[keep:], latents=latents)
        assert self._output is not None
        return self._output

    def _read(self, ids: Sequence[int], *, latents: bool, output: bool = True) -> None:
        """Append ids, in passes; latents are those of the last one, which has its own then."""
        self._output = None
        last = len(ids) - 1 if latents else max(0, len(ids) - READ_AT_ONCE)
        for first in range(0, last, READ_AT_ONCE):
            part = ids[first : min(first + READ_AT_ONCE, last)]
            self.engine.context.read(self._tokens(part), latents=False)
            self._ids += part
            self._check()
        tokens = self._tokens(ids[last:])
        tokens[-1] = tokens[-1]._replace(output=output)
        found = self.engine.context.read(tokens, latents=latents)
        self._ids += ids[last:]
        self._output = found if output else None

    def _tokens(self, ids: Sequence[int]) -> list[Token]:
        return [Token(token, self._number, at) for at, token in enumerate(ids, len(self._ids))]

    def extend(self, token: int, stage: Stage) -> PassOutput:
        """Append a token and return what follows it; while `batched`."""
        assert self._group is not None
        self._budget.charge(stage, 1)
        self._group.tokens = [Token(token, self._number, len(self._ids), output=True)]
        self._output = self.engine.scheduler.step(self._group)
        self._ids.append(token)
        return self._output

    @contextmanager
    def batched(self) -> Generator[None]:
        """Read single tokens in one batch with other calls, until this is left."""
        self._group = TokenGroup()
        try:
            with self.engine.scheduler.joined(self._group, keep=True):
                yield
        finally:
            self._group = None

    def fork(self, tails: Sequence[Sequence[int]], stage: Stage) -> "SharedRows":
        """Return rows that all go on from here."""
        rows = SharedRows(self.engine, self._budget, stage, self._numbers, tails)
        rows.go_on_from([(self._number, len(self._ids))] * len(tails))
        return rows

    def _crop(self, length: int) -> int:
        """Go back to the first positions; return how many are left."""
        if length < len(self._ids):
            context = self.engine.context
            with self.engine.scheduler.alone():
                if not context.can_go_back(self._number, length):
                    length = 0
                context.cut(self._number, length)
            del self._ids[length:]
            self._output = None
        return length


class SharedRows:
    """Rows that go on from one sequence, each under a number of its own."""

    def __init__(
        self,
        engine: ContextEngine,
        budget: Budget,
        stage: Stage,
        numbers: Sequence[int],
        tails: Sequence[Sequence[int]],
    ) -> None:
        self._engine, self._budget, self._numbers, self._tails = engine, budget, numbers, tails
        self._stage: Stage = stage
        self._lengths = [0] * len(tails)
        self._group = TokenGroup()

    def go_on_from(self, sources: Sequence[tuple[int, int]]) -> None:
        """Let each row hold the first positions of a sequence, given by number and length."""
        with self._engine.scheduler.alone():
            for row, (number, length) in enumerate(sources):
                self._lengths[row] = length
                if number != self._numbers[row]:
                    self._engine.context.cut(self._numbers[row], 0)  # of a block before
                    self._engine.context.share(number, self._numbers[row], length)

    def branch(self, rows: Sequence[int], tails: Sequence[Sequence[int]]) -> "SharedRows":
        """Read each row's own ids; return rows that go on from these."""
        heads = len(self._tails)
        with self._engine.scheduler.alone():
            self._budget.charge(self._stage, sum(len(tail) for tail in self._tails))
            self._engine.context.read(self._next(self._tails, output=False), latents=False)
        # The first row of each goes on under its own number, the others under new ones.
        unused = iter(self._numbers[heads : len(tails)])
        numbers = [
            self._numbers[row] if rows.index(row) == place else next(unused)
            for place, row in enumerate(rows)
        ]
        branched = SharedRows(self._engine, self._budget, self._stage, numbers, tails)
        branched.go_on_from([(self._numbers[row], self._lengths[row]) for row in rows])
        return branched

    def joined(self, *, keep: bool) -> AbstractContextManager[None]:
        """Decode together with other calls until this is left; ``keep``: and then again."""
        return self._engine.scheduler.joined(self._group, keep=keep)

    def read(self, *, latents: bool) -> PassOutput:
        """Read the tails; for latents, their last tokens in a pass of their own."""
        context = self._engine.context
        with self._engine.scheduler.alone():
            self._budget.charge(self._stage, sum(len(tail) for tail in self._tails))
            if not latents:
                return context.read(self._next(self._tails), latents=False)
            before = self._next([tail[:-1] for tail in self._tails], output=False)
            if before:
                context.read(before, latents=False)
            return context.read(self._next([tail[-1:] for tail in self._tails]), latents=True)

    def step(self, tokens: Sequence[int | None]) -> PassOutput:
        """Read the next token of each row that has not ended."""
        going = [row for row, token in enumerate(tokens) if token is not None]
        self._budget.charge(self._stage, len(going))
        self._group.tokens = self._next([[] if token is None else [token] for token in tokens])
        latents, logits = self._engine.scheduler.step(self._group)
        return spread(latents, going, len(tokens)), spread(logits, going, len(tokens))

    def _next(self, tails: Sequence[Sequence[int]], *, output: bool = True) -> list[Token]:
        tokens: list[Token] = []
        for row, tail in enumerate(tails):
            at, last = self._lengths[row], len(tail) - 1
            tokens += [
                Token(token, self._numbers[row], at + place, output=output and place == last)
                for place, token in enumerate(tail)
            ]
            self._lengths[row] += len(tail)
        return tokens

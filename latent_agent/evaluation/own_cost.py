"""What a call would have forwarded alone, where others have written for it."""

from collections.abc import Sequence

from latent_agent.model.budget import Budget, Stage
from latent_agent.model.engine import Completion, Writing
from latent_agent.model.generate import common_length


class OwnCost:
    """Books what a sequence that writes for one call alone would have forwarded.

    It follows the ids that such a sequence would hold, by the rules of `model.generate`: a
    beginning that is held already is not read again, the last token of an answer is never read.

    Args:
        budget: The call's.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held: list[int] = []

    def embed(self, ids: Sequence[int], stage: Stage) -> None:
        """Book the embedding of a prompt."""
        self._budget.charge(stage, len(ids))
        self._held = list(ids)

    def write(self, rows: Sequence[Writing], answers: Sequence[Completion], stage: Stage) -> None:
        """Book rows that are written together, with what came of them."""
        begun = [[*row.prompt, *row.prefix[: row.limits.max_tokens]] for row in rows]
        made = [
            answer.tokens[len(ids) - len(row.prompt) :]
            for row, ids, answer in zip(rows, begun, answers, strict=True)
        ]
        if len(rows) == 1:
            if made[0]:  # else the prefix had ended the answer
                self._hold(begun[0], stage)
                self._budget.charge(stage, len(made[0]) - 1)
                self._held += made[0][:-1]
            return
        going = [(ids, new) for ids, new in zip(begun, made, strict=True) if new]
        self._fork([ids for ids, _ in going], stage)
        self._budget.charge(stage, sum(len(new) - 1 for _, new in going))

    def next_logits(self, prompts: Sequence[Sequence[int]], stage: Stage) -> None:
        """Book prompts that are read together."""
        self._fork(prompts, stage)

    def _fork(self, rows: Sequence[Sequence[int]], stage: Stage) -> None:
        shared = min(common_length(rows), min((len(ids) for ids in rows), default=1) - 1)
        self._hold(rows[0][:shared] if rows else (), stage)
        self._budget.charge(stage, sum(len(ids) - shared for ids in rows))

    def _hold(self, ids: Sequence[int], stage: Stage) -> None:
        if self._held != list(ids):
            known = min(common_length([self._held, ids]), max(0, len(ids) - 1))
            self._budget.charge(stage, len(ids) - known)
            self._held = list(ids)

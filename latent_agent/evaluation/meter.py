"""The tokens that an evaluation really forwarded, beside what its methods are charged."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path

from latent_agent.evaluation.records import Record
from latent_agent.model.budget import Budget


class Meter:
    """Counts tokens that were really forwarded, across interruptions.

    Args:
        path: Where the count is kept.
        done: What is answered by now. Where no count was kept, each of these was answered alone:
            their costs are the count.
    """

    def __init__(self, path: Path, done: Sequence[Record]) -> None:
        self._path = path
        self._charged = self._before = sum(record.cost for record in done)
        if path.is_file():
            self._before = int(json.loads(path.read_text("utf-8"))["forwarded"])
        self._budgets: list[Budget] = []

    def budget(self, cancelled: threading.Event) -> Budget:
        """Return a budget without limits, whose tokens are counted."""
        budget = Budget(cancelled=cancelled)
        self._budgets.append(budget)
        return budget

    def alone(self, record: Record) -> Record:
        """Count an answer that took nothing from others; return it."""
        budget = Budget()
        budget.charge("draft", record.cost)
        self._budgets.append(budget)
        return record

    def count(self, record: Record) -> None:
        """Count what an answer is charged, and keep the count so far."""
        self._charged += record.cost
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self.tokens) + "\n", "utf-8")
        new.replace(self._path)

    @property
    def tokens(self) -> dict[str, int]:
        """What all answers cost: ``charged`` as if each method ran alone, and ``forwarded``."""
        forwarded = self._before + sum(budget.total for budget in self._budgets)
        return {"charged": self._charged, "forwarded": forwarded}

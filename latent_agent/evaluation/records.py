"""What one method made of one question: every answer on the way, with what was spent by then."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latent_agent.errors import EvaluationError


@dataclass(frozen=True, kw_only=True)
class Point:
    """One answer on the way.

    Attributes:
        forwarded: Forwarded tokens of the call by then.
        text: This answer.
        right: Whether it is right.
        answer_right: Whether what would be returned at this moment is right.
        reward: What the judge said; None if it was not asked.
        accepted: Whether that ends a search.
        source: Where the answer comes from.
        checks: The judge's single findings.
        complete: Whether it ended by itself, and not at a limit.
    """

    forwarded: int
    text: str
    right: bool
    answer_right: bool
    reward: float | None = None
    accepted: bool = False
    source: str = "draft"
    checks: Mapping[str, float] = field(default_factory=dict[str, float])
    complete: bool = True


@dataclass(frozen=True, kw_only=True)
class Record:
    """One method, one seed, one item.

    Attributes:
        method: The method, with its settings if it has any of its own.
        seed: Seed of sampling and of the questions' order.
        item: The item's key.
        place: The item's place in the order of this seed, from 0.
        family: The item's family.
        planted: Whether that family holds planted habits.
        question: What was asked.
        truth: The true answer.
        draft: The draft's text, if one was made.
        text: The answer; empty if the method failed.
        right: Whether it is right; a failure is not.
        points: Every answer on the way.
        forwarded: Forwarded tokens by stage.
        seconds: Wall clock.
        steps: Gradient steps, or answers tried after the draft.
        rewards: Best reward of each round.
        stopped: Why the search ended.
        source: Where the answer comes from.
        answer_tokens: Length of the answer.
        neighbours: Traces that were recalled.
        prior: Version of the prior that was asked.
        stored: Whether a trace was left.
        error: What went wrong.
    """

    method: str
    seed: int
    item: str
    place: int
    family: str = ""
    planted: bool = False
    question: str = ""
    truth: str = ""
    draft: str | None = None
    text: str = ""
    right: bool = False
    points: Sequence[Point] = ()
    forwarded: Mapping[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0
    steps: int = 0
    rewards: Sequence[float] = ()
    stopped: str = ""
    source: str = ""
    answer_tokens: int = 0
    neighbours: Sequence[int] = ()
    prior: str | None = None
    stored: bool = False
    error: str | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        """Method, seed and item."""
        return (self.method, self.seed, self.item)

    @property
    def cost(self) -> int:
        """All forwarded tokens."""
        return sum(self.forwarded.values())

    @property
    def at_once(self) -> bool:
        """Whether the first answer that was judged passed."""
        return self.stopped == "threshold" and len(self.rewards) == 1

    def after(self, tries: int) -> tuple[int, bool]:
        """Return the cost, and whether the answer is right, had it ended after ``tries`` answers.

        The draft is answer 0 where it stands before it is judged.
        """
        if tries >= len(self.points) - 1:
            return self.cost, self.right
        return self.points[tries].forwarded, self.points[tries].answer_right

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Record":
        """Build it from what was written."""
        made: dict[str, Any] = dict(row)
        made["points"] = tuple(Point(**point) for point in row["points"])
        return cls(**made)


def read_records(path: Path, *, fix: bool = False) -> list[Record]:
    """Read what was answered.

    Args:
        path: The file; there may be none yet.
        fix: Cut off a last line that a kill left unfinished.

    Raises:
        EvaluationError: If another line is no record.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if fix and whole < len(content):
        os.truncate(path, whole)
    records: list[Record] = []
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            records.append(Record.from_json(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise EvaluationError(
                f"every line of {str(path)!r} must be a record, got {line[:80]!r} in line {number} "
                f"({error}); give another --out"
            ) from error
    return records


Said = Mapping[str, Any]
"""An answer: text, reward (None: not judged), accepted, source, checks, forwarded_tokens."""


def best_said(said: Sequence[Said]) -> int:
    """Return which answer a search would return: accepted first, then by reward, then the first.

    One that nobody judged is returned only while there is no other.
    """
    ranks = [
        (bool(one["accepted"]), -2.0 if one["reward"] is None else float(one["reward"]))
        for one in said
    ]
    return ranks.index(max(ranks))


def most_voted(finals: Sequence[str | None]) -> int:
    """Return which answer the majority would return; ties go to what was said first.

    An answer that settles on nothing has no vote, unless all do.
    """
    votes = Counter(final for final in finals if final is not None)
    return finals.index(votes.most_common(1)[0][0]) if votes else 0

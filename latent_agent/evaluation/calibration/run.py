"""A calibration from the first answer to the recommendation, within so many minutes.

What was answered, scored and searched is kept as it comes: the same command goes on after a kill,
and after its minutes.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from latent_agent.call.parallel import in_parallel
from latent_agent.errors import CallCancelled
from latent_agent.evaluation.bench import Bench
from latent_agent.evaluation.calibration.evidence import Evidence
from latent_agent.evaluation.calibration.proof import Proof, judges, proof_of
from latent_agent.evaluation.calibration.request import LEAST, CalibrationRequest
from latent_agent.evaluation.calibration.scoring import (
    Compared,
    Row,
    Scored,
    compared,
    rewards_for,
    score,
)
from latent_agent.evaluation.calibration.searching import (
    PUBLISHED,
    Costs,
    Searched,
    Solved,
    Timed,
    costs,
    latentseek,
    solved,
    timed,
)
from latent_agent.evaluation.items import Item
from latent_agent.evaluation.notes import Notes
from latent_agent.evaluation.pool_answers import checked, pool_settings, write_answers
from latent_agent.evaluation.pool_file import PooledQuestion, PoolFile
from latent_agent.evaluation.run import alone_in
from latent_agent.model.places import place_name
from latent_agent.nights.watch import Halt, Watch
from latent_agent.reward import Reward

T = TypeVar("T")
_SAMPLED, _SCORED, _SEARCHED, _PROVED = 0.4, 0.6, 0.8, 0.97
"""Shares of the time by which each stage ends at the latest."""
_TIMED = 5  # questions on which rounds are timed


def calibrate(asked: CalibrationRequest, folder: Path, watch: Watch) -> Evidence:
    """Sample, score, search; return what that shows.

    Args:
        asked: What is wanted.
        folder: Where all of it is kept.
        watch: Follows the work.

    Raises:
        EvaluationError: If the questions are too few, or the folder holds another calibration.
    """
    items = asked.items()
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder):
        return _Run(asked, items, folder, watch).evidence()


class _Run:
    """One calibration at work."""

    def __init__(
        self, asked: CalibrationRequest, items: Sequence[Item], folder: Path, watch: Watch
    ) -> None:
        self._asked, self._items, self._watch = asked, items, watch
        self._began = time.monotonic()
        self._bench = asked.bench(items, self._until(1.0))
        place = place_name(asked.model)
        named = place if isinstance(place, str) else type(place).__name__
        drawn = {"samples": asked.samples + 1, "temperature": asked.temperature}
        drawn |= {"max_tokens": asked.max_tokens, "seed": 0}
        model = self._bench.model
        settings = pool_settings(
            model, Path(named).name, Path(asked.data).name, items, asked.ending, **drawn
        )
        self._pool = PoolFile(folder / "pool.jsonl", {**settings, "check": asked.check})
        self._scores = Notes(folder / "scores.jsonl")
        self._searches = Notes(folder / "searches.jsonl")

    def evidence(self) -> Evidence:
        """Do all of it, as far as the time allows."""
        sampled = self._sample()
        rewards = rewards_for(self._asked.written, self._asked.rewards)
        both = self._score(rewards, sampled)
        by_reward = compared([one for one, _ in both], [row for _, row in both], [*rewards])
        halt = self._until(_SEARCHED)
        wrong = [one for one in sampled if not one.answers[0].right]
        plain = costs([*self._time(sampled[:_TIMED], self._until(_PROVED))])
        found = self._search(wrong, plain, halt)
        proof = self._prove(rewards, by_reward, found, plain)
        cut = len(both) < len(self._items) or self._until(_PROVED).is_set()
        return Evidence(
            request=self._asked,
            pool=self._pool.settings,
            wanted=len(self._items),
            sampled=sampled,
            compared=by_reward,
            rewards=rewards,
            costs=plain,
            solved=found,
            proof=proof,
            late=cut,
        )

    def _until(self, share: float) -> Halt:
        """Return what is set once so much of the time is over."""
        spent = time.monotonic() - self._began
        left = max(0.0, 60 * self._asked.minutes * share - spent)
        return Halt(self._watch.stop, left)

    def _sample(self) -> list[PooledQuestion]:
        """Return the questions with their answers, as far as there was time for them."""
        halt, pool, model = self._until(_SAMPLED), self._pool, self._bench.model
        done = {one.key for one in pool.asked}
        left = [item for item in self._items if item.key not in done]
        begun, total = len(self._items) - len(left), len(self._items)
        jobs = [
            partial(
                in_time,
                partial(write_answers, model, item, pool.settings, self._bench.ending, halt),
                halt,
            )
            for item in left
        ]
        at_once = max(1, self._asked.rows // (self._asked.samples + 1))
        self._watch.report("sampling", begun, total)
        with closing(in_parallel(jobs, at_once, threading.Event())) as made:
            for number, (item, written) in enumerate(zip(left, made, strict=True), 1):
                if written is not None:
                    pool.add(checked(item, *written, self._bench.checker))
                    self._tick("sampling", begun + number, total, written[1])
        order = {item.key: place for place, item in enumerate(self._items)}
        return sorted(
            (one for one in pool.asked if one.key in order), key=lambda one: order[one.key]
        )

    def _score(
        self, rewards: Mapping[str, Reward], sampled: Sequence[PooledQuestion]
    ) -> list[tuple[PooledQuestion, Row]]:
        """Return what all rewards say of the answers; a question whose time came too late is out.

        One question after the other, so that a reward's seconds are its own.
        """
        widths, enough, late = self._asked.widths, self._until(_SCORED), self._until(_SEARCHED)
        known: dict[tuple[str, str], Scored] = {
            (row["key"], row["reward"]): Scored(**row["scored"]) for row in self._scores.rows
        }
        found: list[tuple[PooledQuestion, Row]] = []
        for number, one in enumerate(sampled, 1):
            # With fewer than that nothing can be said: what is left is spent on them.
            halt = enough if len(found) >= LEAST else late
            new = {name: by for name, by in rewards.items() if (one.key, by.id) not in known}
            job = partial(score, self._bench.model, new, one, widths, halt)
            made = in_time(job, halt) if new else {}
            if made is None:
                continue
            for name, scored in made.items():
                known[one.key, rewards[name].id] = scored
                self._scores.add(key=one.key, reward=rewards[name].id, scored=asdict(scored))
            found.append((one, {name: known[one.key, by.id] for name, by in rewards.items()}))
            self._tick("scoring", number, len(sampled), sum(by.tokens for by in made.values()))
        return found

    def _time(self, asked: Sequence[PooledQuestion], halt: Halt) -> Iterator[list[Timed]]:
        """Time rounds, one question after the other."""
        model, ending, warm = self._bench.model, self._bench.ending, False
        for number, one in enumerate(asked, 1):
            known = self._noted("timed", one.key)
            if known is None:
                if not warm:  # the first answer of a process also loads and compiles
                    first = (model, self._item(one), self._pool.settings, ending, halt, 1)
                    warm = in_time(partial(write_answers, *first), halt) is not None
                job = partial(
                    timed, self._bench, self._item(one), self._pool.settings, self._asked.widths,
                    halt,
                )  # fmt: skip
                if (rows := in_time(job, halt)) is None:
                    return
                known = {"rows": [asdict(row) for row in rows]}
                self._note("timed", one.key, known)
                self._tick("timing", number, len(asked), sum(row.tokens for row in rows))
            yield [Timed(**row) for row in known["rows"]]

    def _search(
        self, wrong: Sequence[PooledQuestion], plain: Costs | None, halt: Halt
    ) -> Solved | None:
        """Search where the plain answer is wrong, the truth for a judge."""
        if plain is None:
            return None
        fitting = [w for w, (seconds, _) in plain.ratios.items() if seconds <= self._asked.budget]
        rights = {one.key: [answer.right for answer in one.answers] for one in wrong}
        bench = self._published(self._bench, halt)
        found = [*self._searched("by truth", bench, wrong, plain, by_truth=True)]
        return solved(found, rights, max(fitting, default=1), plain)

    def _prove(
        self,
        rewards: Mapping[str, Reward],
        by_reward: Compared,
        found: Solved | None,
        plain: Costs | None,
    ) -> Proof | None:
        """Where LatentSeek finds any by the truth: search by a reward, on questions not seen."""
        if plain is None or found is None or not found.latentseek.mean:
            return None
        judge = judges(rewards, by_reward)
        if judge is None:
            return None
        reward = rewards[judge.reward]
        bench = replace(self._published(self._bench, self._until(_PROVED)), reward=reward)
        bench = replace(bench, settings=replace(bench.settings, threshold=judge.threshold))
        unseen = [by_reward.asked[place] for place in judge.unseen]
        kind = f"by {reward.id} above {judge.threshold!r}"
        searched = [*self._searched(kind, bench, unseen, plain, by_truth=False)]
        return proof_of(judge, searched, unseen, plain)

    def _published(self, bench: Bench, halt: Halt) -> Bench:
        """Return a bench that searches as LatentSeek does."""
        settings = replace(bench.settings, prefix_tokens=None, **PUBLISHED)
        return replace(bench, settings=settings, cancelled=halt)

    def _searched(
        self,
        judge: str,
        bench: Bench,
        asked: Sequence[PooledQuestion],
        plain: Costs,
        *,
        by_truth: bool,
    ) -> Iterator[Searched]:
        """Search question by question, each for as long as the budget allows."""
        seconds, kind = self._asked.budget * plain.seconds, f"{judge}, {self._asked.budget:g}x"
        for number, one in enumerate(asked, 1):
            known = self._noted(kind, one.key)
            if known is None:
                job = partial(latentseek, bench, self._item(one), seconds, by_truth=by_truth)
                made = None if bench.cancelled.is_set() else job()
                if made is None:
                    continue
                known = asdict(made)
                self._note(kind, one.key, known)
                self._tick("searching", number, len(asked), made.tokens)
            yield Searched(**known)

    def _item(self, asked: PooledQuestion) -> Item:
        return next(item for item in self._items if item.key == asked.key)

    def _noted(self, kind: str, key: str) -> dict[str, Any] | None:
        for row in self._searches.rows:
            if (row["kind"], row["key"]) == (kind, key):
                return row["found"]
        return None

    def _note(self, kind: str, key: str, found: Mapping[str, Any]) -> None:
        self._searches.add(kind=kind, key=key, found=dict(found))

    def _tick(self, stage: str, done: int, total: int, tokens: int) -> None:
        self._watch.spent(tokens)
        self._watch.report(stage, done, total)


def in_time(job: Callable[[], T], halt: Halt) -> T | None:
    """Do a job; None: the time is over before it stands."""
    if halt.is_set():
        return None
    try:
        return job()
    except CallCancelled:
        if halt.is_set():
            return None
        raise

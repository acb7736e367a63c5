"""Feedback on a real model: what a stream of rated answers does to first answers.

``python -m dev.feedback_real --model MODEL --train FILE --test FILE --out FOLDER`` asks the
training questions one after the other, gives feedback as a user would (right answers up, wrong ones
down, one wrong one in four corrected), and asks the test questions after so many answers and after
a night. Kill it whenever you like: the same command goes on. ``--report`` sums up.

Arms:
    none: no memory; one plain answer.
    self: a memory that the model itself judges; no feedback.
    latents: feedback, recalled as latents.
    shuffled: as latents, but answers are rated by chance, as often up, down and corrected, and
        corrected with another question's answer.
    text: the nearest three questions with their right answers in the prompt; no latents.
    both: text, and latents of such calls.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from latent_agent import ChatLatentSeek, FeedbackReward, LatentSeekEmbeddings
from latent_agent.errors import LatentAgentError
from latent_agent.evaluation.items import Item, load_items
from latent_agent.evaluation.notes import Notes
from latent_agent.evaluation.statistics import compare, estimate
from latent_agent.nights.night import consolidate
from latent_agent.nights.targets import job_for
from latent_agent.reward.equivalence import same_answer
from latent_memory import LatentMemory

ARMS = ("none", "self", "latents", "shuffled", "text", "both")
ASK = "\n\nThink briefly. Then end with a line 'Answer: ' and the final answer alone."
CORRECTED = 0.25  # of the wrong answers
EXAMPLES = 3
AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one run is."""

    model: str
    arm: str
    seed: int
    stages: Sequence[int]
    max_tokens: int
    folder: Path


class Examples:
    """Questions with answers that were said to be right, for the prompt of similar ones."""

    def __init__(self, model: str) -> None:
        self._embeddings = LatentSeekEmbeddings(model=model)
        self._rows: list[tuple[str, str]] = []
        self._vectors: list[Any] = []

    def add(self, question: str, answer: str) -> None:
        """Remember one."""
        self._rows.append((question, answer))
        self._vectors.append(np.array(self._embeddings.embed_query(question)))

    def before(self, question: str) -> list[BaseMessage]:
        """Return the nearest ones as turns of a conversation, the nearest last."""
        if not self._rows:
            return []
        known = np.stack(self._vectors)
        centre = known.mean(0)
        asked = np.array(self._embeddings.embed_query(question)) - centre
        cosines = (known - centre) @ asked / (np.linalg.norm(known - centre, axis=1) + 1e-9)
        turns: list[BaseMessage] = []
        for place in np.argsort(cosines)[-EXAMPLES:]:
            question_, answer = self._rows[place]
            turns += [HumanMessage(question_ + ASK), AIMessage(answer)]
        return turns


class Arm:
    """One arm of one seed, from where it was left."""

    def __init__(self, plan: Plan, memory: LatentMemory | None) -> None:
        self.plan = plan
        rated = plan.arm in ("latents", "shuffled", "both")
        self.chat = ChatLatentSeek(
            model=plan.model,
            memory=memory if rated or plan.arm == "self" else None,
            reward=None if plan.arm == "self" else FeedbackReward(),
            max_tokens=plan.max_tokens,
        )
        self._rated = rated
        self._examples = Examples(plan.model) if plan.arm in ("text", "both") else None
        self.answers = Notes(plan.folder / "answers.jsonl")
        self.tests = Notes(plan.folder / "tests.jsonl")
        for row in self.answers.rows:
            self._learn(row)

    def _learn(self, row: dict[str, Any]) -> None:
        if self._examples is not None and row["known"] is not None:
            self._examples.add(row["question"], row["known"])

    def _asked(self, question: str) -> list[BaseMessage]:
        before = [] if self._examples is None else self._examples.before(question)
        return [*before, HumanMessage(question + ASK)]

    def answer(self, number: int, items: Sequence[Item]) -> None:
        """Ask a question of the stream, and give feedback on the answer."""
        item, rng = items[number], Random(f"{self.plan.seed} {number}")
        message = self.chat.invoke(self._asked(item.question))
        right = same_answer(item.truth, message.text)
        said, corrected, truth = right, not right and rng.random() < CORRECTED, item.truth
        if self.plan.arm == "shuffled":  # as one other answer would have been rated
            seen = [row["right"] for row in self.answers.rows] or [right]
            said = rng.choice(seen)
            corrected = not said and rng.random() < CORRECTED
            truth = rng.choice(items).truth
        correction, seconds = f"Answer: {truth}" if corrected else None, 0.0
        if self._rated:
            began = time.perf_counter()
            if correction is None or correction.strip() == message.text.strip():
                self.chat.feedback(message, float(said))
            else:
                self.chat.feedback(message, correction=correction)
            seconds = round(time.perf_counter() - began, 4)
        known = correction if corrected else (message.text if said else None)
        row = {"number": number, "question": item.question, "known": known, "right": right}
        self.answers.add(**row, said=said, corrected=corrected, feedback_seconds=seconds)
        self._learn(row)

    def test(self, stage: str, items: Sequence[Item]) -> None:
        """Ask the test questions that this stage has not asked yet; nothing is stored."""
        update: dict[str, Any] = {"memory_mode": "read"}
        if self.plan.arm == "self":
            update["threshold"] = -1.0  # the first answer stands
        chat = self.chat.model_copy(update=update)
        done = {row["key"] for row in self.tests.rows if row["stage"] == stage}
        left = [item for item in items if item.key not in done]
        for first in range(0, len(left), AT_ONCE):
            some = left[first : first + AT_ONCE]
            answers = chat.batch([self._asked(item.question) for item in some])
            for item, message in zip(some, answers, strict=True):
                ours = message.response_metadata["latent_agent"]
                self.tests.add(
                    stage=stage,
                    key=item.key,
                    family=item.family,
                    right=same_answer(item.truth, message.text),
                    source=ours["source"],
                    tokens=ours["forwarded_tokens"],
                )
            say(f"{self.plan.folder.name} {stage}: {first + len(some)} of {len(left)}")

    def night(self) -> None:
        """Run a night, once."""
        ran = Notes(self.plan.folder / "night.jsonl")
        if ran.rows or self.chat.memory is None:
            return
        try:
            report = consolidate(job_for(self.chat))
            ran.add(verdict=report.verdict, reason=report.reason)
        except LatentAgentError as error:
            ran.add(verdict="failed", reason=str(error))


def run(plan: Plan, train: Sequence[Item], test: Sequence[Item]) -> None:
    """Run one arm of one seed to its end, from where it was left."""
    stream = list(train)
    Random(plan.seed).shuffle(stream)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with LatentMemory(plan.folder / "memory.sqlite3") as memory:
        arm = Arm(plan, memory)
        for stage in plan.stages if plan.arm != "none" else (0,):
            for number in range(len(arm.answers.rows), min(stage, len(stream))):
                arm.answer(number, stream)
                say(f"{plan.folder.name}: answer {number + 1}")
            arm.test(str(stage), test)
        if arm.chat.memory is not None:
            arm.night()
            arm.test("night", test)
        arm.chat.close()


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{text}\n")


def summary(folder: Path) -> Iterator[str]:
    """Yield a line an arm and stage: accuracy, and the gain over no memory with its interval."""
    right: dict[tuple[str, str], dict[str, list[float]]] = {}
    for path in sorted(folder.glob("*/tests.jsonl")):
        arm = path.parent.name.rpartition("-")[0]
        for row in Notes(path).rows:
            by_key = right.setdefault((arm, row["stage"]), {})
            by_key.setdefault(row["key"], []).append(float(row["right"]))
    plain = right.get(("none", "0"), {})
    for (arm, stage), found in right.items():
        keys = sorted(found.keys() & plain.keys()) if plain else sorted(found)
        ours = [sum(found[key]) / len(found[key]) for key in keys]
        own = estimate(ours)
        line = f"{arm:9} {stage:>6}  {own.mean:.3f} [{own.low:.3f}, {own.high:.3f}]"
        if plain and arm != "none" and keys:
            gap = compare(ours, [sum(plain[key]) / len(plain[key]) for key in keys]).difference
            line += f"  over none {gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
        yield f"{line}  ({len(keys)} questions)"


def spread(items: Sequence[Item], count: int | None) -> list[Item]:
    """Return ``count`` items, as many of each family; None: all."""
    by_family: dict[str, list[Item]] = {}
    for item in items:
        by_family.setdefault(item.family, []).append(item)
    if count is None:
        return list(items)
    return [item for rows in by_family.values() for item in rows[: -(-count // len(by_family))]]


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--train", default="bundled:train")
    parser.add_argument("--test", default="bundled:test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arm", choices=ARMS, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--stages", default="0,200,700", help="tested after so many answers")
    parser.add_argument("--tested", type=int, help="test questions at most, spread over families")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--report", action="store_true", help="sum up what is there, run nothing")
    given = parser.parse_args()
    if not given.report:
        train, test = load_items(given.train), spread(load_items(given.test), given.tested)
        for seed in given.seed or [0]:
            for arm in given.arm or ARMS:
                plan = Plan(
                    model=given.model,
                    arm=arm,
                    seed=seed,
                    stages=[int(stage) for stage in given.stages.split(",")],
                    max_tokens=given.max_tokens,
                    folder=given.out / f"{arm}-{seed}",
                )
                run(plan, train, test)
    sys.stdout.writelines(f"{line}\n" for line in summary(given.out))


if __name__ == "__main__":
    main()

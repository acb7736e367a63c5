"""Feedback on the bundled model: ratings and corrections, and what first answers become.

Nothing judges but the feedback. ``python -m dev.feedback_world`` answers questions of the training
split as a user's chat does, rates each answer, corrects the wrong ones, runs a night, and asks
planted questions of the test split before, between and after.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from latent_agent import ChatLatentSeek, FeedbackReward
from latent_agent.errors import LatentAgentError
from latent_agent.nights.night import consolidate
from latent_agent.nights.targets import job_for
from latent_agent.teaching import is_right, questions
from latent_agent.teaching.world import Question
from latent_memory import LatentMemory

USERS = ("honest", "one in five wrong", "everything up")


def accuracy(chat: ChatLatentSeek, asked: Sequence[Question]) -> float:
    """Return the share of right first answers; nothing is stored."""
    reading = chat.model_copy(update={"memory_mode": "read"})
    answers = reading.batch([question.text for question in asked])
    right = [is_right(q, answer.text) for q, answer in zip(asked, answers, strict=True)]
    return sum(right) / len(right)


def give(chat: ChatLatentSeek, question: Question, user: str, rng: Random) -> float:
    """Ask a question and give feedback on the answer; return the seconds that the latter took."""
    message = chat.invoke(question.text)
    right = is_right(question, message.text)
    if user == "everything up":
        right = True
    elif user == "one in five wrong" and rng.random() < 0.2:
        right = not right
        if not right:  # a right answer that is rated down: nobody corrects it
            began = time.perf_counter()
            chat.feedback(message, 0.0)
            return time.perf_counter() - began
    began = time.perf_counter()
    if right:
        chat.feedback(message, 1.0)
    else:
        chat.feedback(message, correction=str(question.right))
    return time.perf_counter() - began


def run(user: str, answers: int, tested: int, seed: int) -> dict[str, Any]:
    """Run one user's day and night; return the figures."""
    rng = Random(seed)
    asked = [q for q in questions(split="train", n=4 * answers, seed=seed) if q.planted][:answers]
    test = [q for q in questions(split="test", n=4 * tested, seed=seed) if q.planted][:tested]
    with tempfile.TemporaryDirectory() as folder, LatentMemory(Path(folder, "a.sqlite3")) as memory:
        chat = ChatLatentSeek(model="bundled", memory=memory, reward=FeedbackReward())
        other = chat.model_copy(update={"namespace": "other"})
        figures: dict[str, Any] = {"user": user, "seed": seed, "before": accuracy(chat, test)}
        seconds = sorted(give(chat, question, user, rng) for question in asked)
        figures["feedback_seconds_median"] = round(seconds[len(seconds) // 2], 4)
        figures["feedback_seconds_most"] = round(seconds[-1], 4)
        figures["day"] = accuracy(chat, test)
        try:
            report = consolidate(job_for(chat))
            figures["verdict"], figures["reason"] = report.verdict, report.reason
        except LatentAgentError as error:
            figures["verdict"], figures["reason"] = "failed", str(error)
        figures["night"], figures["other_namespace"] = accuracy(chat, test), accuracy(other, test)
        return figures


def main() -> None:
    """Run it from the command line; prints one JSON object a user."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--tested", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--user", choices=USERS, action="append")
    given = parser.parse_args()
    for user in given.user or USERS:
        figures = run(user, given.answers, given.tested, given.seed)
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

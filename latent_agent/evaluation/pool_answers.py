"""Answers for a pool: the first greedy, the others sampled, in one batch a question."""

import hashlib
from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any

import torch

from latent_agent.evaluation.checking import FITTING, Checker
from latent_agent.evaluation.items import Item, digest
from latent_agent.evaluation.pool_file import PooledAnswer, PooledQuestion
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn, transcript
from latent_agent.model.engine import AnswerLimits, Completion, Engine, Writing
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import SharedModel
from latent_agent.model.sampling import GREEDY, Sampler
from latent_agent.reward import Case
from latent_agent.reward.judge import Judge


def pool_settings(
    model: SharedModel, named: str, data: str, items: Sequence[Item], ending: str, **drawn: float
) -> dict[str, Any]:
    """Return all that a pool's answers hang on, as its first line holds it.

    Args:
        model: What answers.
        named: How the pool calls it.
        data: How the pool calls the file of questions.
        items: The questions.
        ending: Put after each question.
        drawn: ``samples``, ``temperature``, ``max_tokens`` and ``seed``.
    """
    engine = model.engine()
    return {
        "model": named,
        "fingerprint": model.fingerprint(),
        "engine": engine.name,
        "dtype": dtype_of(engine),
        "data": data,
        "items": digest(items),
        "prompt": _shown(model, ending),
        **drawn,
    }


def write_answers(
    model: SharedModel,
    item: Item,
    settings: Mapping[str, Any],
    ending: str,
    cancelled: Event,
    width: int | None = None,
) -> tuple[list[Completion], int]:
    """Write an item's answers; return them, and the tokens that were forwarded.

    Args:
        model: What answers.
        item: What is asked.
        settings: Of the pool.
        ending: Put after the question.
        cancelled: Set once they are no longer wanted.
        width: The first so many alone; None: all.

    Raises:
        CallCancelled: If ``cancelled`` is set before they stand.
    """
    budget = Budget(cancelled=cancelled)
    stream = int.from_bytes(hashlib.sha256(item.question.encode()).digest()[:4])
    samplers = [GREEDY] + [
        Sampler(settings["temperature"], settings["seed"], stream, number)
        for number in range(1, width or settings["samples"])
    ]
    prompt = encode_chat(model.tokenizer, [Turn("user", item.question + ending)], (), {})
    limits = AnswerLimits(max_tokens=settings["max_tokens"])
    written = model.engine().sequence(budget).write(
        [
            Writing(prompt=prompt, limits=limits, sampler=sampler, latents=False, logprobs=True)
            for sampler in samplers
        ],
        "draft",
    )  # fmt: skip
    return written, budget.total


def checked(
    item: Item, written: Sequence[Completion], tokens: int, checker: Checker = FITTING
) -> PooledQuestion:
    """Return a question with its answers, compared with the truth.

    Not done where they are written: in other threads nothing stops a comparison of formulas.
    """
    answers = [
        PooledAnswer(
            text=one.text,
            final=checker.final(item, one.text),
            right=one.finish == "stop" and checker.is_right(item, one.text),
            whole=one.finish == "stop",
            tokens=len(one.tokens),
            logprobs=one.logprobs,
        )
        for one in written
    ]
    return PooledQuestion(
        key=item.key, question=item.question, truth=item.truth, family=item.family,
        choices=item.choices, answers=answers, tokens=tokens,
    )  # fmt: skip


def cases(asked: PooledQuestion, judge: Judge | None = None) -> list[Case]:
    """Return a question's answers as one round, as rewards see it."""
    conversation = transcript([Turn("user", asked.question)])
    return [
        Case(
            question=asked.question,
            answer=answer.text,
            conversation=conversation,
            judge=judge,
            complete=answer.whole,
            logprobs=answer.logprobs,
        )
        for answer in asked.answers
    ]


def by_turns(items: Sequence[Item]) -> list[Item]:
    """Return items with the families in turn, so that the first ones are of all families."""
    places: dict[str, int] = {}
    turns: list[tuple[int, Item]] = []
    for item in items:
        turns.append((places.get(item.family, 0), item))
        places[item.family] = places.get(item.family, 0) + 1
    return [item for _, item in sorted(turns, key=lambda turn: turn[0])]


def dtype_of(engine: Engine) -> str:
    """Return the precision that an engine computes in, as far as it says."""
    dtype = getattr(getattr(engine, "model", None), "dtype", None)
    return str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else "its own"


def _shown(model: SharedModel, ending: str) -> str:
    """Return how a question is put, as text: template and ending."""
    ids = encode_chat(model.tokenizer, [Turn("user", f"QUESTION{ending}")], (), {})
    text: Any = model.tokenizer.decode(ids)
    return text

"""Budgets of single calls, while eight threads share one model."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import Any

import pytest
import torch

from latent_agent import ChatLatentSeek
from latent_agent.call import call
from latent_agent.model.budget import Budget
from latent_agent.model.registry import open_model
from latent_agent.teaching import questions
from tests.support.engines import transformers_engine

ASKED = [question.text for question in questions("test", n=8, seed=2)]


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[Budget]:
    """The budgets of all calls."""
    made: list[Budget] = []

    class Noted(Budget):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(call, "Budget", Noted)
    return made


@pytest.fixture
def passes() -> Iterator[list[tuple[float, int]]]:
    """When each forward pass began, and how many rows it read; the model makes one at a time."""
    seen: list[tuple[float, int]] = []
    body = transformers_engine(open_model("bundled")).model.base_model

    def note(_module: Any, _args: Any, given: dict[str, torch.Tensor]) -> None:
        seen.append((time.monotonic(), given["input_ids"].shape[0]))

    hook = body.register_forward_pre_hook(note, with_kwargs=True)
    yield seen
    hook.remove()


def endless(**given: Any) -> ChatLatentSeek:
    """A search that no answer ends."""
    return ChatLatentSeek(
        model="bundled", memory=None, reward=lambda _question, _answer: -0.5,
        max_iterations=100_000, learning_rate=1.0, **given,
    )  # fmt: skip


def at_once(chat: ChatLatentSeek) -> list[dict[str, Any]]:
    gate = threading.Barrier(8)

    def ask(text: str) -> dict[str, Any]:
        gate.wait(60)
        return chat.invoke(text).response_metadata["latent_agent"]

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(ask, ASKED))


def test_the_time_of_each_call_holds(
    budgets: list[Budget], passes: list[tuple[float, int]]
) -> None:
    """Nobody begins a pass after his time: at most the one that was begun before is read."""
    answers = at_once(endless(timeout=1.5))
    assert [one["stopped"] for one in answers] == ["time"] * 8
    assert len(budgets) == 8
    deadlines = [budget._deadline for budget in budgets if budget._deadline is not None]
    late = [rows for began, rows in passes if began > max(deadlines)]
    assert sum(late) <= 8


@pytest.mark.parametrize("budget", [120, pytest.param(400, marks=pytest.mark.slow)])
def test_the_tokens_of_each_call_hold(budgets: list[Budget], budget: int) -> None:
    answers = at_once(endless(max_forwarded_tokens=budget))
    assert [one["stopped"] for one in answers] == ["tokens"] * 8
    spent = [sum(one["forwarded_tokens"].values()) for one in answers]
    assert max(spent) <= budget
    assert sorted(spent) == sorted(budget.total for budget in budgets)
    assert min(spent) > budget / 2  # a neighbour's tokens are nobody else's bill


def test_a_call_costs_under_load_what_it_costs_alone() -> None:
    chat = ChatLatentSeek(model="bundled", memory=None)
    alone = [chat.invoke(text) for text in ASKED]
    for one, message in zip(at_once(chat), alone, strict=True):
        expected = message.response_metadata["latent_agent"]
        assert one["forwarded_tokens"] == expected["forwarded_tokens"]
        found, wanted = ([fmean(r) for r in of["rewards"]] for of in (one, expected))
        assert found == pytest.approx(wanted)

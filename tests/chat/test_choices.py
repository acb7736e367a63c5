"""Several answers to one conversation: what a call's budgets leave of them."""

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from langchain_core.messages import HumanMessage
from langchain_core.outputs import ChatGeneration

from latent_agent import ChatLatentSeek
from latent_agent.errors import SettingError
from latent_agent.model.registry import open_model
from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.settings import settings_for

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
CALL: dict[str, Any] = {"model": "bundled", "memory": None, "temperature": 1.0}


def answers(**given: Any) -> list[dict[str, Any]]:
    result = ChatLatentSeek(**CALL).generate([[HumanMessage(QUESTION)]], **given)
    return [
        {"text": one.text, **one.message.response_metadata["latent_agent"]}
        for one in result.generations[0]
        if isinstance(one, ChatGeneration)
    ]


def test_the_timeout_holds_for_all_answers_together() -> None:
    judged: list[str] = []

    def slow(question: str, answer: str) -> float:
        judged.append(answer)
        time.sleep(1.0)
        return -0.5

    got = answers(n=3, timeout=1.0, reward=slow)
    assert [one["stopped"] for one in got] == ["time"]
    assert len(judged) <= 1


def test_the_forwarded_tokens_hold_for_all_answers_together() -> None:
    whole = answers(n=3, max_iterations=0)
    spent = [sum(one["forwarded_tokens"].values()) for one in whole]
    enough = answers(n=3, max_iterations=0, max_forwarded_tokens=sum(spent))
    assert [one["text"] for one in enough] == [one["text"] for one in whole]
    half = answers(n=3, max_iterations=0, max_forwarded_tokens=sum(spent) - spent[2] // 4)
    assert [one["text"] for one in half[:2]] == [one["text"] for one in whole[:2]]
    assert (half[2]["stopped"], bool(half[2]["text"])) == ("tokens", True)
    assert sum(sum(one["forwarded_tokens"].values()) for one in half) <= sum(spent)


@pytest.mark.parametrize("left", [0, 1])
def test_an_answer_that_nothing_is_left_for_is_left_out_and_that_is_said(
    left: int, caplog: pytest.LogCaptureFixture
) -> None:
    (alone,) = answers(n=1, max_iterations=0)
    budget = sum(alone["forwarded_tokens"].values()) + left
    (got,) = answers(n=3, max_iterations=0, max_forwarded_tokens=budget)
    assert got["text"] == alone["text"]
    assert got["missing_answers"] == 2
    assert "1 of n=3 answers" in caplog.text
    caplog.clear()
    enough = answers(n=3, max_iterations=0, max_forwarded_tokens=100 * budget)
    assert [one.get("missing_answers") for one in (alone, *enough)] == [None] * 4
    assert not caplog.text


@pytest.mark.parametrize("budget", [{"timeout": 0.0}, {"max_forwarded_tokens": 1}])
def test_the_first_answer_comes_back_even_if_it_is_empty(budget: dict[str, Any]) -> None:
    (got,) = answers(n=3, **budget)
    assert got["text"] == ""


def test_a_model_that_gets_busy_costs_no_answer_that_was_given() -> None:
    queue, crowd = open_model("bundled").queue, ExitStack()
    limits: dict[str, Any] = {"max_calls": 1, "max_waiting": 0}

    def others_come(question: str, answer: str) -> float:
        crowd.enter_context(queue.place(settings_for(**limits)))
        return 0.0

    with crowd:
        got = answers(n=3, reward=others_come, **limits)
    assert [one["stopped"] for one in got] == ["threshold"]


def test_a_wrong_n_is_refused_before_anything_is_paid() -> None:
    judged: list[str] = []

    def reward(question: str, answer: str) -> float:
        judged.append(answer)
        return 0.0

    with pytest.raises(SettingError, match="n must be a whole number"):
        answers(n=0, reward=reward)
    assert judged == []


def test_they_are_written_together_and_are_those_of_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, states = list[int](), TransformersEngine.states

    def seen(self: TransformersEngine, ids: torch.Tensor, *args: Any) -> torch.Tensor:
        rows.append(ids.shape[0])
        return states(self, ids, *args)

    monkeypatch.setattr(TransformersEngine, "states", seen)
    given: dict[str, Any] = {"n": 4, "max_iterations": 2, "temperature": 3.0}
    together = answers(**given)
    assert max(rows) > 4
    rows.clear()
    apart = answers(**given, max_forwarded_tokens=10**9)
    assert max(rows) == 4  # the checks of one judge
    assert together == apart
    assert len({one["draft"] for one in together}) > 1


def test_all_of_them_tell_their_events_one_at_a_time() -> None:
    told, telling = list[str](), threading.Lock()

    def hear(event: str, details: Mapping[str, Any]) -> None:
        alone = telling.acquire(blocking=False)
        told.append(event if alone else "two at a time")
        time.sleep(0.2)
        telling.release()

    got = answers(n=3, max_iterations=0, on_progress=hear)
    assert told == ["draft"] * len(got) == ["draft"] * 3

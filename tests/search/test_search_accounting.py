"""What a search counts: rounds for patience, and every answer that was paid for."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latent_agent import ChatLatentSeek
from latent_agent.server.memory_page.rounds import rounds
from latent_memory import LatentMemory, Trace

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"


class Scripted:
    """A reward that gives one score after the other, then its last for ever."""

    def __init__(self, *scores: float | Exception) -> None:
        self._scores = scores
        self.answers: list[str] = []

    def __call__(self, question: str, answer: str) -> float:
        self.answers.append(answer)
        score = self._scores[min(len(self.answers), len(self._scores)) - 1]
        if isinstance(score, Exception):
            raise score
        return score


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with LatentMemory(tmp_path / "memory.sqlite3") as opened:
        yield opened


def ask(memory: LatentMemory | None, reward: Scripted, **given: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": "bundled", "archive": -1.0, **given}
    message = ChatLatentSeek(memory=memory, reward=reward, **arguments).invoke(QUESTION)
    return {"text": message.text, **message.response_metadata["latent_agent"]}


def lead_astray(memory: LatentMemory) -> None:
    """Leave a trace whose warm start writes another answer than the draft."""
    traces: list[Trace] = []
    for asked in (ask(memory, Scripted(-0.5), max_iterations=1), answer(memory)):
        stored = memory.get(asked["trace_id"])
        assert stored is not None
        traces.append(stored.trace)
        memory.forget(ids=[stored.id])
    refused, searched = traces
    memory.add(replace(searched, shelf=refused.shelf))


# ------------------------------------------------------------------------ patience


@pytest.mark.parametrize("search", ["gradient", "flip"])
def test_a_warm_start_is_no_round_of_patience(memory: LatentMemory, search: str) -> None:
    given: dict[str, Any] = {"patience": 3, "max_iterations": 9, "search": search}
    cold = ask(None, Scripted(-0.5), **given)
    assert (cold["stopped"], cold["iterations"]) == ("patience", 3)
    lead_astray(memory)
    warm = ask(memory, Scripted(-0.5), **given)
    assert len(warm["rewards"]) == 5  # the warm start, the draft, three rounds
    assert (warm["stopped"], warm["iterations"]) == ("patience", 3)


def test_patience_is_held_against_the_draft_not_the_warm_start(memory: LatentMemory) -> None:
    lead_astray(memory)
    rising = Scripted(-0.3, -0.9, -0.8, -0.7, -0.6, -0.5, -0.4)
    warm = ask(memory, rising, patience=3, max_iterations=5)
    assert warm["rewards"] == [[-0.3], [-0.9], [-0.8], [-0.7], [-0.6], [-0.5], [-0.4]]
    assert warm["stopped"] == "iterations"


# ------------------------------------------------------------------------ samples of a round

SAMPLED: dict[str, Any] = {"samples": 4, "temperature": 1.0, "max_iterations": 2}


def cut(limit: int, scores: Sequence[float | Exception]) -> tuple[dict[str, Any], list[str]]:
    """Ask with tokens for so many answers of the first round, and none for the next."""
    spent: list[int] = []

    def listen(event: str, details: Any) -> None:
        if event == "verdict":
            spent.append(details["forwarded_tokens"])

    # With a budget of tokens, samples are written one after the other.
    ask(None, Scripted(-0.9), on_progress=listen, max_forwarded_tokens=10**6, **SAMPLED)
    reward = Scripted(*scores)
    got = ask(None, reward, max_forwarded_tokens=spent[limit], **SAMPLED)
    return got, reward.answers


def test_the_finished_samples_of_a_round_count_when_a_budget_ends() -> None:
    got, answers = cut(2, [-0.9, -0.7, -0.3])
    assert got["rewards"] == [[-0.9], [-0.7, -0.3]]
    assert (got["stopped"], got["iterations"], got["text"]) == ("tokens", 1, answers[2])


def test_a_sample_that_passed_before_a_budget_ended_is_accepted() -> None:
    got, answers = cut(2, [-0.9, -0.1, -0.7])
    assert got["rewards"] == [[-0.9], [-0.1, -0.7]]
    assert (got["stopped"], got["iterations"], got["text"]) == ("threshold", 1, answers[1])


def test_the_finished_samples_of_a_round_count_when_a_reward_fails() -> None:
    reward = Scripted(-0.9, -0.7, -0.3, KeyError("lost"))
    got = ask(None, reward, **SAMPLED)
    assert got["rewards"] == [[-0.9], [-0.7, -0.3]]
    assert (got["stopped"], got["text"]) == ("reward_error", reward.answers[2])
    assert "lost" in got["error"]


def test_a_round_that_was_cut_short_is_told_of() -> None:
    steps: list[Any] = []

    def listen(event: str, details: Any) -> None:
        if event == "step":
            steps.append((details["step"], details["reward"]))

    ask(None, Scripted(-0.9, -0.7, -0.3, KeyError("lost")), on_progress=listen, **SAMPLED)
    assert steps == [(1, pytest.approx(-0.5))]


# ------------------------------------------------------------------------ what is stored of it


def test_a_step_whose_answer_was_never_scored_shifts_no_round(memory: LatentMemory) -> None:
    reward = Scripted(-0.9, -0.8, KeyError("lost"))
    got = ask(memory, reward)
    assert (got["iterations"], got["rewards"]) == (2, [[-0.9], [-0.8]])
    stored = memory.get(got["trace_id"])
    assert stored is not None
    assert list(rounds(stored.trace)) == [("draft", (-0.9,)), ("step 1", (-0.8,))]


# ------------------------------------------------------------------------ answers never judged


def answer(memory: LatentMemory | None, **given: Any) -> dict[str, Any]:
    message = ChatLatentSeek(model="bundled", memory=memory, **given).invoke(QUESTION)
    return {"text": message.text, **message.response_metadata["latent_agent"]}


def test_a_draft_that_could_not_be_judged_comes_back_whole() -> None:
    plain = answer(None, max_iterations=0)
    got = answer(None, max_forwarded_tokens=plain["forwarded_tokens"]["draft"])
    assert (got["rewards"], got["stopped"], got["source"]) == ([], "tokens", "draft")
    assert got["text"] == plain["text"]


def test_a_warm_start_that_could_not_be_judged_comes_back_whole(memory: LatentMemory) -> None:
    assert answer(memory)["source"] == "search"
    whole = answer(memory, memory_mode="read")
    assert whole["source"] == "memory"
    written = whole["forwarded_tokens"]["draft"] + whole["forwarded_tokens"]["refine"]
    got = answer(memory, max_forwarded_tokens=written)
    assert (got["rewards"], got["stopped"], got["source"]) == ([], "tokens", "memory")
    assert got["text"] == whole["text"]

"""Rounds of several candidates: what is written, judged, kept and counted."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from latent_agent import ChatLatentSeek, SelfReward
from latent_agent.call.agent import LatentAgent
from latent_agent.call.progress import Progress
from latent_agent.errors import CallCancelled, RewardError, SettingError
from latent_agent.model.conversation import Turn
from latent_agent.model.sampling import GREEDY
from latent_agent.reward import Case, Reward, Score, WeightedSum
from latent_agent.settings import settings_for
from latent_agent.teaching import questions
from latent_memory import UNRATED, LatentMemory

ASKED = [question.text for question in questions("test", n=12, seed=4)]
WIDE: dict[str, Any] = {
    "model": "bundled", "dtype": "float32", "max_tokens": 60, "width": 6, "max_iterations": 2,
    "threshold": -1e-9,
}  # fmt: skip


def chat(**given: Any) -> ChatLatentSeek:
    return ChatLatentSeek(**{**WIDE, "memory": None, **given})


def told(model: ChatLatentSeek, question: str, **given: Any) -> dict[str, Any]:
    message = model.invoke(question, **given)
    return {**message.response_metadata["latent_agent"], "text": message.text}


class Compared(Reward):
    """The longest answer of a round is the best of it; no answer is accepted."""

    deterministic = False

    def __init__(self) -> None:
        self.rounds: list[int] = []

    def score(self, case: Case) -> Score:
        raise AssertionError(f"asked for {case.answer!r} alone")

    def score_round(self, cases: Sequence[Case]) -> list[Score]:
        self.rounds.append(len(cases))
        longest = max(len(case.answer) for case in cases)
        return [Score(value=-0.5 if len(case.answer) == longest else -1.0) for case in cases]


class Picky(Reward):
    """Cannot read what holds a word; counts what it is asked for."""

    deterministic = True

    def __init__(self, unread: Sequence[str] = ()) -> None:
        self.unread, self.asked = unread, list[str]()

    def score(self, case: Case) -> Score:
        self.asked.append(case.answer)
        if case.answer in self.unread:
            raise ValueError("cannot read this")
        return Score(value=-0.4 - 0.5 / (1 + len(case.answer)))


def test_a_round_is_scored_as_a_whole() -> None:
    reward = Compared()
    got = told(chat(reward=reward), ASKED[0])
    assert [len(one) for one in got["rewards"]] == reward.rounds
    assert reward.rounds[0] == 1
    assert max(reward.rounds) > 1
    assert all(max(one) == -0.5 for one in got["rewards"])


def test_a_candidate_that_cannot_be_scored_costs_itself_alone() -> None:
    all_read = Picky()
    whole = told(chat(reward=all_read, max_iterations=1), ASKED[0])
    unread = [text for text in dict.fromkeys(all_read.asked) if text != whole["text"]][1:]
    assert unread
    got = told(chat(reward=Picky(unread), max_iterations=1), ASKED[0])
    assert got["stopped"] == "iterations"
    assert "cannot read this" in got["error"]
    assert got["text"] == whole["text"]
    assert sum(map(len, got["rewards"])) == sum(map(len, whole["rewards"])) - len(unread)
    apart = told(chat(reward=Picky(unread), max_iterations=1, max_forwarded_tokens=10**6), ASKED[0])
    assert (apart["rewards"], apart["text"]) == (got["rewards"], got["text"])


def test_where_no_candidate_can_be_scored_the_search_ends_with_what_it_had() -> None:
    first = told(chat(max_iterations=0), ASKED[0])["text"]

    class Draft(Reward):
        def score(self, case: Case) -> Score:
            if case.answer != first:
                raise RewardError("no")
            return Score(value=-0.5)

    got = told(chat(reward=Draft(), rest="kept"), ASKED[0])
    if len(got["rewards"]) > 1:
        assert len(got["rewards"][1]) >= 1  # candidates that say what the draft says
    assert (got["text"], got["error"]) == (first, "no")


def test_rounds_that_do_not_fit_the_memory_are_written_in_parts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rows_of: list[int]
) -> None:
    def graded(question: str, answer: str) -> float:
        return -0.2 - 0.7 / (1 + len(answer))

    given = {"reward": graded, "drafts": 5, "width": 5}
    whole = [told(chat(**given), text) for text in ASKED[:3]]
    assert max(rows_of) == 5
    rows_of.clear()
    engine = "latent_agent.model.transformers_engine.engine"
    monkeypatch.setattr(f"{engine}.row_bytes", lambda *_: 10**6)
    monkeypatch.setattr(f"{engine}.free_bytes", lambda _: 2_500_000)
    parts = [told(chat(**given), text) for text in ASKED[:3]]
    assert max(rows_of) == 2
    for name in ("text", "rewards", "source"):
        assert [one[name] for one in parts] == [one[name] for one in whole]
    assert "answers that are written at once must fit the memory, got 5 of" in caplog.text


def test_a_sampled_draft_is_an_answer_and_leaves_latents_that_stand_for_it(tmp_path: Path) -> None:
    def long(question: str, answer: str) -> float:
        return -0.2 - 0.7 / (1 + len(answer))

    path = tmp_path / "memory.sqlite3"
    model = chat(memory=path, reward=long, drafts=8, draft_temperature=1.5, archive=-1.0, width=1,
                 max_iterations=1)  # fmt: skip
    sources = {told(model, text)["source"] for text in ASKED}
    assert "sample" in sources
    engine = model._shared_model().engine()
    with LatentMemory(path) as memory:
        shelves = [info.shelf for info in memory.shelves() if info.shelf.reward != UNRATED]
        kept = [stored.trace for shelf in shelves for stored in memory.stream(shelf)]
    assert kept
    for trace in kept:
        rows = torch.from_numpy(trace.optimised.copy())
        assert engine.decode(rows, GREEDY) == trace.tokens
        assert len(trace.rewards[0]) >= 8  # with a warm start nine
    model.close()


def test_drafts_are_one_batch(rows_of: list[int]) -> None:
    model = chat(reward=Picky(), drafts=8, width=1, max_iterations=1, threshold=-0.99)
    model._shared_model().engine()
    rows_of.clear()
    told(model, ASKED[0])
    assert rows_of[0] == 8
    assert rows_of == sorted(rows_of, reverse=True)  # what has ended leaves the batch


def test_all_starts_are_searched_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite3"
    accepting = chat(memory=path, reward=lambda question, answer: 0.0, archive=-1.0)
    for text in ASKED:
        told(accepting, text)
    given = {"memory": path, "memory_mode": "read", "starts": "all", "drafts": 3,
             "reward": lambda question, answer: -0.9}  # fmt: skip
    got = told(chat(**given), ASKED[0])
    assert len(got["rewards"][0]) >= 3
    assert len(got["rewards"][1]) >= len(got["rewards"][0]) - 1


def test_the_final_answer_alone_can_be_what_counts() -> None:
    class Final(Picky):
        final_only = True

    every, final = Picky(), Final()
    ours, theirs = (told(chat(reward=one, drafts=6), ASKED[1]) for one in (final, every))
    assert ours["rewards"] is not None
    assert theirs["rewards"] is not None
    assert len(final.asked) <= len(every.asked)
    stated = [text.splitlines()[-1] for text in final.asked]
    assert len(stated) == len(set(stated))


@pytest.mark.parametrize("verdict", ["generate", "logits"])
def test_judging_together_says_what_judging_apart_says(verdict: str) -> None:
    class Never(Reward):
        def score(self, case: Case) -> Score:
            return Score(value=-1.0)

    reward = WeightedSum((SelfReward(verdict=verdict), 1.0), (Never(), 1.0))
    for text in ASKED[:4]:
        together = told(chat(reward=reward, drafts=4), text)
        # With a budget of tokens each is judged before the next is written.
        apart = told(chat(reward=reward, drafts=4, max_forwarded_tokens=10**6), text)
        rewards, one_by_one = (
            [value for values in one["rewards"] for value in values] for one in (together, apart)
        )
        assert rewards == pytest.approx(one_by_one)
        assert len(rewards) > 5
        read, least = (one["forwarded_tokens"]["judge"] for one in (together, apart))
        assert read <= least * 1.1


def test_a_width_that_is_none_is_refused() -> None:
    for width in (0, -1, 1.5, True, "wide"):
        with pytest.raises(SettingError, match=r"width must be a whole number from 1 on or 'auto'"):
            chat(width=width)
    assert told(chat(width="auto", reward=Picky(), max_iterations=1), ASKED[0])["iterations"] == 1


def test_a_cancelled_round_stops_within_one_pass(rows_of: list[int]) -> None:
    model, stop, written = chat(drafts=8), threading.Event(), list[int]()

    def on_draft(token: int) -> None:
        written.append(token)
        if len(written) == 3:
            stop.set()

    agent = LatentAgent(model._shared_model(), settings_for(drafts=8, max_tokens=400))
    agent.model.engine()
    rows_of.clear()
    with pytest.raises(CallCancelled):
        agent.answer([Turn("user", ASKED[0])], Progress(on_draft=on_draft, cancelled=stop))
    assert rows_of in ([8, 8], [8, 8, 8])

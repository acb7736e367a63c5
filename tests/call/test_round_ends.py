"""A round that ends with the first answer that is accepted: fewer tokens, told as they are."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from latent_agent import ChatLatentSeek
from latent_agent.call.agent import LatentAgent
from latent_agent.call.outcome import Outcome
from latent_agent.call.progress import Progress
from latent_agent.errors import CallCancelled, SettingError
from latent_agent.model import generate
from latent_agent.model.conversation import Turn
from latent_agent.model.engine import Completion, Writing
from latent_agent.model.options import LoadOptions
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.reward import AgreementReward, ExactMatch, Reward, SelfReward, as_reward
from latent_agent.settings import settings_for
from latent_agent.teaching import questions

pytestmark = pytest.mark.timeout(300)
ASKED = [Turn(role="user", content="Each day Eva counts 6 birds. How many is that after 7 days?")]
DRAFTS: dict[str, Any] = {"drafts": 8, "draft_temperature": 2.5, "max_iterations": 1}
STEPS: dict[str, Any] = {"width": 6, "max_iterations": 1, "learning_rate": 0.1, "prefix_tokens": 10}
Batches = list[tuple[Sequence[Writing], Sequence[Completion]]]


@pytest.fixture(scope="module", params=["transformers", "llama.cpp"])
def model(request: pytest.FixtureRequest) -> SharedModel:
    if request.param == "transformers":
        return open_model("bundled", None, LoadOptions(dtype="float32"))
    pytest.importorskip("llama_cpp", reason='needs: pip install "latent-agent[llama-cpp]"')
    path: Path = request.getfixturevalue("bundled_gguf")
    return open_model(path, None, LoadOptions(threads=1))


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Batches:
    """The rows that were written together, with what they came to."""
    seen: Batches = []
    write = generate.write

    def noting(sequence: Any, rows: Sequence[Writing], stage: Any) -> list[Completion]:
        answers = write(sequence, rows, stage)
        if len(rows) > 1:
            seen.append((rows, answers))
        return answers

    monkeypatch.setattr(generate, "write", noting)
    return seen


def ask(
    model: SharedModel, reward: object, progress: Progress | None = None, **given: Any
) -> Outcome:
    settings = settings_for(max_tokens=60, **given)
    return LatentAgent(model, settings, as_reward(reward)).answer(ASKED, progress)


def only(text: str) -> Callable[[str, str], float]:
    """A reward that accepts one text."""
    return lambda _, answer: -float(answer != text)


def new_tokens(batch: tuple[Sequence[Writing], Sequence[Completion]]) -> list[int]:
    return [len(one.tokens) - len(row.prefix) for row, one in zip(*batch, strict=True)]


def middle(batch: tuple[Sequence[Writing], Sequence[Completion]]) -> tuple[str, int]:
    """An answer of a batch that others end before and after, and its tokens behind the prefix."""
    answers, lengths = batch[1], new_tokens(batch)
    texts = [one.text for one in answers]
    found = [
        (length, text)
        for length, text in zip(lengths, texts, strict=True)
        if min(lengths) < length < max(lengths) and texts.count(text) == 1
    ]
    length, text = min(found)
    return text, length


@pytest.mark.parametrize("given", [DRAFTS, STEPS], ids=["drafts", "steps"])
def test_what_is_saved_is_what_the_others_would_still_have_written(
    model: SharedModel, batches: Batches, given: dict[str, Any]
) -> None:
    ask(model, only(""), **given)
    text, last = middle(batches[-1])
    batches.clear()
    whole = ask(model, only(text), **given)
    lengths, texts = new_tokens(batches[-1]), [one.text for one in batches[-1][1]]
    batches.clear()
    ended = ask(model, only(text), round_ends="accepted", **given)
    assert (ended.text, ended.source, ended.stopped) == (text, whole.source, "threshold")
    assert whole.text == text
    saved = sum(max(0, length - last) for length in lengths)
    assert saved > 0
    spent = [sum(one.forwarded_tokens.values()) for one in (whole, ended)]
    assert spent[0] - spent[1] == saved
    # Of discarded answers there is no reward, as of those that a budget cuts off.
    cut = sum(length > last for length in lengths)
    assert len(whole.rewards[-1]) - len(ended.rewards[-1]) == cut
    assert sorted(ended.rewards[-1])[-2:] == [-1.0, 0.0]
    finishes = [one.finish for one in batches[-1][1]]
    assert finishes.count("discarded") == cut
    known = zip(batches[-1][1], texts, strict=True)
    assert all(text.startswith(one.text.rstrip("\ufffd")) for one, text in known)


@pytest.mark.parametrize("given", [DRAFTS, STEPS], ids=["drafts", "steps"])
def test_rows_in_parts_come_to_the_same(
    batches: Batches, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_model("bundled", None, LoadOptions(dtype="float32"))
    ask(model, only(""), **given)
    text, _ = middle(batches[-1])
    rewards: list[Any] = [only(text), AgreementReward(threshold=-0.7)]
    together = [ask(model, one, round_ends="accepted", **given) for one in rewards]
    for most in (1, 3):
        monkeypatch.setattr(TransformersEngine, "rows_at_once", lambda *_, most=most: most)
        apart = [ask(model, one, round_ends="accepted", **given) for one in rewards]
        for one, other in zip(together, apart, strict=True):
            assert (one.text, one.rewards, one.source) == (other.text, other.rewards, other.source)


def test_a_call_of_many_ends_its_rounds_as_one_alone() -> None:
    asked = questions("test", n=12, seed=5)
    chat = ChatLatentSeek(
        model="bundled", dtype="float32", memory=None, max_tokens=60, round_ends="accepted",
        reward=ExactMatch({one.text: one.truth for one in asked}),
        **{**DRAFTS, "width": 5},
    )  # fmt: skip
    texts: list[Any] = [one.text for one in asked]

    def told(message: Any) -> Any:
        return message.text, message.response_metadata["latent_agent"]

    alone = [told(chat.invoke(text)) for text in texts]
    assert [told(message) for message in chat.batch(texts)] == alone
    rounds = [len(one["rewards"][0]) for _, one in alone]
    assert min(rounds) < 8  # some ended early
    assert max(rounds) == 8


def test_others_do_not_wait_for_a_reward_that_takes_its_time(model: SharedModel) -> None:
    begun, done = threading.Event(), threading.Event()

    def slow(question: str, answer: str) -> float:
        begun.set()
        assert done.wait(60)
        return -1.0

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(ask, model, slow, round_ends="accepted", **DRAFTS)
        assert begun.wait(60)
        second = threads.submit(ask, model, only("no"), round_ends="accepted", **DRAFTS)
        assert second.result(60).stopped == "iterations"
        done.set()
        assert first.result(60).error is None


def test_a_failure_costs_its_answer_alone(model: SharedModel, batches: Batches) -> None:
    ask(model, only(""), **DRAFTS)
    text, last = middle(batches[-1])
    asked: list[str] = []

    def picky(question: str, answer: str) -> float:
        asked.append(answer)
        if answer != text:
            raise ValueError("not this one")
        return 0.0

    ended = ask(model, picky, round_ends="accepted", **DRAFTS)
    assert (ended.text, ended.rewards, ended.stopped) == (text, ((0.0,),), "threshold")
    assert "not this one" in (ended.error or "")
    assert len(asked) == sum(length <= last for length in new_tokens(batches[0]))  # none twice


def test_a_call_that_is_cancelled_meanwhile_makes_no_further_pass(
    model: SharedModel, batches: Batches
) -> None:
    cancelled, reports = threading.Event(), list[int]()

    def reward(question: str, answer: str) -> float:
        cancelled.set()
        return -1.0

    def report(event: str, details: Any) -> None:
        if event == "verdict":
            reports.append(details["forwarded_tokens"])

    progress = Progress(report, cancelled=cancelled)
    with pytest.raises(CallCancelled):
        ask(model, reward, progress, round_ends="accepted", **DRAFTS)
    assert len(set(reports)) == 1
    assert not batches


@pytest.mark.parametrize("reward", [SelfReward(verdict="logits"), AgreementReward("probability")])
def test_other_rewards_end_no_round(model: SharedModel, reward: Reward) -> None:
    given: dict[str, Any] = {**DRAFTS, "threshold": -0.9}
    assert ask(model, reward, round_ends="accepted", **given) == ask(model, reward, **given)


def test_where_all_are_accepted_the_best_of_the_round_is_taken(model: SharedModel) -> None:
    given: dict[str, Any] = {**DRAFTS, "threshold": -1.0}

    def longest(question: str, answer: str) -> float:
        return -0.9 / (1 + len(answer))

    whole = ask(model, longest, **given)
    assert ask(model, longest, round_ends="accepted", **given) == whole
    assert len(whole.rewards[0]) == 8


def test_agreement_ends_once_the_leader_passes_and_cannot_be_overtaken(
    model: SharedModel, batches: Batches
) -> None:
    given: dict[str, Any] = {**DRAFTS, "draft_temperature": 1.5}
    reward = AgreementReward(threshold=-0.6)
    whole = ask(model, reward, **given)
    ended = ask(model, reward, round_ends="accepted", **given)
    assert whole.stopped == ended.stopped == "threshold"
    assert sum(ended.forwarded_tokens.values()) < sum(whole.forwarded_tokens.values())
    kept, cut = len(ended.rewards[0]), len(whole.rewards[0])
    assert kept < cut == 8
    # Those that were cut off count against it.
    assert max(ended.rewards[0]) <= max(whole.rewards[0])
    assert max(ended.rewards[0]) in [votes / 8 - 1 for votes in range(4, kept + 1)]


def test_time_that_runs_out_leaves_the_best_answer_that_ended(batches: Batches) -> None:
    model = open_model("bundled", None, LoadOptions(dtype="float32"))
    ask(model, only(""), **DRAFTS)
    lengths = sorted(new_tokens(batches[-1]))
    passes, states = [0], TransformersEngine.states

    def slow(self: TransformersEngine, ids: Any, *args: Any) -> Any:
        passes[0] += 1
        if passes[0] > lengths[2] + 1:  # some have ended by then
            threading.Event().wait(5)
        return states(self, ids, *args)

    def graded(question: str, answer: str) -> float:
        return -0.3 - 0.6 / (1 + len(answer))

    for ends in ("last", "accepted"):
        passes[0] = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TransformersEngine, "states", slow)
            cut = ask(model, graded, timeout=5.0, round_ends=ends, **DRAFTS)
        assert (cut.stopped, cut.finish) == ("time", "stop")
        assert 1 < len(cut.rewards[0]) < 8
        assert cut.reward == max(cut.rewards[0])


def test_the_shortest_of_equals_is_not_known_early() -> None:
    with pytest.raises(SettingError, match="round_ends='last'"):
        settings_for(round_ends="accepted", ties="shortest")

"""A soft prefix against the plain method: no cache, no batch, torch's own autograd and Adam."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import torch

from dev.bench.plain import PlainLM
from latent_agent import ChatLatentSeek
from latent_agent.call.agent import LatentAgent
from latent_agent.call.writer import Writer
from latent_agent.errors import SettingError
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.engine import SoftSequence
from latent_agent.model.fake_engine import FakeEngine
from latent_agent.model.logits_mask import FREE
from latent_agent.model.prompt import encode_chat, encode_text
from latent_agent.model.registry import open_model
from latent_agent.model.sampling import GREEDY
from latent_agent.model.soft_prefix import SoftPrefix
from latent_agent.reward import Reward, Score
from latent_agent.reward.base import Case
from latent_agent.search.soft_prefix import TEXT
from latent_agent.settings import settings_for
from latent_agent.teaching import questions
from latent_memory import LatentMemory
from tests.support.plain_gradcuit import PlainSoft, plain_gradcuit

QUESTIONS = questions("test", n=2, seed=5)


class ByText(Reward):
    """Scores an answer by a number that its text stands for, and accepts none."""

    def score(self, case: Case) -> Score:
        return Score(value=value_of(case.answer))


class Longest(Reward):
    """Prefers long answers, and accepts none."""

    def score(self, case: Case) -> Score:
        return Score(value=-1 + min(0.7, len(case.answer) / 1000))


def value_of(text: str) -> float:
    return -0.3 - crc32(text.strip().encode()) % 1000 / 2000


@pytest.mark.parametrize(
    "given",
    [
        {"search": "soft_prefix", "learning_rate": 0.1, "max_iterations": 3},
        {"search": "soft_prefix", "soft_depth": 0.0, "learning_rate": 0.03, "max_iterations": 3},
        {
            "search": "soft_prefix",
            "soft_depth": 0.6,
            "learning_rate": 0.1,
            "max_iterations": 2,
            "width": 3,
            "onward": "best",
        },
        {"search": "soft_walk", "learning_rate": 0.3, "max_iterations": 3},
        {
            "search": "soft_walk",
            "learning_rate": 0.3,
            "max_iterations": 2,
            "width": 3,
            "onward": "best",
        },
    ],
    ids=["gradient", "embeddings", "lengths", "walk", "walks"],
)
def test_answers_rewards_and_choice_are_those_of_the_plain_method(
    plain_model: tuple[Any, Any], given: Mapping[str, Any]
) -> None:
    settings, shared = settings_for(max_tokens=48, **given), open_model("bundled")
    texts: set[tuple[float, ...]] = set()
    for question in QUESTIONS:
        lm = PlainLM(*plain_model)
        answer, rewards = plain_gradcuit(lm, value_of, settings, question.text)
        outcome = LatentAgent(shared, settings, ByText()).answer([Turn("user", question.text)])
        assert [list(one) for one in outcome.rewards] == rewards
        assert outcome.text.strip() == lm.text(answer).strip()
        texts.update(map(tuple, rewards))
    assert len({value for one in texts for value in one}) > len(QUESTIONS)  # it does move answers


def test_the_gradient_is_that_of_the_answers_log_likelihood(plain_model: tuple[Any, Any]) -> None:
    engine, (model, tokenizer) = open_model("bundled").engine(), plain_model
    prompt = encode_chat(tokenizer, [Turn("user", QUESTIONS[0].text)])
    soft = PlainSoft(PlainLM(model, tokenizer), prompt, 0.4)
    answers = [soft.write(soft.own(), 24), soft.write(2 * soft.own(), 9)]
    sequence = engine.sequence(Budget())
    assert isinstance(sequence, SoftSequence)
    ids = tuple(encode_text(tokenizer, TEXT))
    states = sequence.block_states(prompt, ids, 2, "refine")
    assert states == pytest.approx(soft.own(), abs=1e-4)
    read = sequence.soft_pass(
        prompt, SoftPrefix(ids=ids, block=2, states=states), answers, "refine"
    )
    wanted, gradients = torch.zeros_like(states), list[torch.Tensor]()
    for latents, answer in zip(read.latents, answers, strict=True):
        z = states.clone().requires_grad_()
        likelihood = soft.likelihood(z, answer)
        wanted += torch.autograd.grad(likelihood, z)[0]
        own = latents.clone().requires_grad_()
        chosen: Any = torch.distributions.Categorical(logits=engine.logits(own))
        total = chosen.log_prob(torch.tensor(answer)).sum()
        assert total.item() == pytest.approx(likelihood.item(), abs=1e-3)
        gradients.append(torch.autograd.grad(total, own)[0])
    assert read.pull_back(gradients) == pytest.approx(wanted, abs=1e-3 * float(wanted.abs().max()))


def test_what_was_found_is_kept_for_a_rating_and_not_recalled(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        chat = ChatLatentSeek(
            model="bundled",
            memory=memory,
            reward=Longest(),
            search="soft_walk",
            learning_rate=0.5,
            width=4,
            max_iterations=2,
            prefix_tokens=4,
            rest="kept",
            archive=-1.0,
        )
        message = chat.invoke(QUESTIONS[1].text)
        told = message.response_metadata["latent_agent"]
        assert told["source"] == "search"
        assert told["trace_id"] is None
        stored = memory.get(told["answer_id"])
        again = chat.invoke(QUESTIONS[1].text).response_metadata["latent_agent"]
    assert again["warm_start"]["neighbours"] == []
    assert stored is not None
    engine = open_model("bundled").engine()
    tokens = engine.decode(torch.from_numpy(stored.trace.optimised), GREEDY)
    assert tokens == tuple(stored.trace.tokens)
    assert message.text.startswith(engine.text(tokens).strip())


def test_walks_side_by_side_try_different_places() -> None:
    chat = ChatLatentSeek(
        model="bundled", memory=None, reward=ByText(), search="soft_walk", starts="all", drafts=3,
        width=6, learning_rate=0.5, max_iterations=1,
    )  # fmt: skip
    told = chat.invoke(QUESTIONS[0].text).response_metadata["latent_agent"]
    assert len(set(told["rewards"][-1])) > len(told["rewards"][-1]) // 2


def test_a_draft_that_leaves_no_room_behind_the_prefix_is_cut() -> None:
    engine = open_model("bundled").engine()
    prompt = encode_chat(engine.tokenizer, [Turn("user", QUESTIONS[0].text)])
    window = engine.context_window
    assert window is not None
    room = window - len(prompt) - len(encode_text(engine.tokenizer, TEXT))
    settings = settings_for(max_tokens=window, search="soft_prefix")
    writer = Writer(engine, settings, prompt, Budget(), FREE, lambda *_, **__: None)
    soft = writer.soft_prefix(tuple(encode_text(engine.tokenizer, TEXT)), 1)
    (latents,) = writer.soft_pass(soft, [(5,) * (room + 20)]).latents
    assert len(latents) == room


def test_tokens_are_counted_and_a_budget_ends_it() -> None:
    chat = ChatLatentSeek(model="bundled", memory=None, reward=ByText(), search="soft_prefix")
    free = chat.invoke(QUESTIONS[0].text, max_iterations=2).response_metadata["latent_agent"]
    assert free["forwarded_tokens"]["refine"] > 0
    most = sum(free["forwarded_tokens"].values()) - 1
    held = chat.invoke(QUESTIONS[0].text, max_iterations=2, max_forwarded_tokens=most)
    told = held.response_metadata["latent_agent"]
    assert told["stopped"] == "tokens"
    assert sum(told["forwarded_tokens"].values()) <= most


def test_an_engine_that_takes_no_states_is_named() -> None:
    chat = ChatLatentSeek(model=FakeEngine({}), memory=None, search="soft_prefix")
    with pytest.raises(SettingError, match=r"needs an engine with block_gradients, block_states"):
        chat.invoke("Hello")

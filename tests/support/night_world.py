"""A small world for nights: a random model, and a reward that its drafts never satisfy.

Each question names a colour; the right answer begins with that colour's word. The model knows
nothing of this, so a search of few steps does not find it, but a prior can learn it from traces.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latent_agent.call.agent import LatentAgent
from latent_agent.call.call import Call
from latent_agent.errors import PriorError
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.nights.gate import GateSettings
from latent_agent.nights.job import NightJob, NightSettings
from latent_agent.nights.training import FitSettings
from latent_agent.recall.active_prior import ActivePrior
from latent_agent.recall.memory_adapter import TraceMemory
from latent_agent.recall.open_memory import Mode
from latent_agent.reward import CallableReward, Reward, as_reward
from latent_agent.settings import settings_for
from latent_memory import LatentMemory, Shelf, Trace
from tests.support.engines import transformers_engine
from tests.support.tiny import tiny_model, tiny_tokenizer

WORDS = {"red": " Monday", "blue": " apples", "green": " subtract", "black": " Tuesday"}
SEARCH = settings_for(
    "default", prefix_tokens=2, max_tokens=4, max_iterations=2, learning_rate=0.05
)
SETTINGS = NightSettings(
    hidden=64,
    fit=FitSettings(epochs=12, batch=12, learning_rate=5e-3),
    gate=GateSettings(calls=40),
)


def colour_of(question: str) -> str:
    return question.split()[-1].rstrip(".")


def deterministic(function: Any) -> Any:
    """Mark a reward as one that always says the same."""
    function.deterministic = True
    return function


@deterministic
def right(question: str, answer: str) -> float:
    """0 if the answer begins with the colour's word."""
    return 0.0 if answer.strip().startswith(WORDS[colour_of(question)].strip()) else -1.0


@deterministic
def yes(question: str, answer: str) -> float:
    """A judge that always says yes."""
    return 0.0


@cache
def model() -> SharedModel:
    return open_model(tiny_model("llama"), tiny_tokenizer())


def questions(count: int, start: int = 0, colours: Sequence[str] = tuple(WORDS)) -> Sequence[str]:
    return [f"Item {n} is {colours[n % len(colours)]}." for n in range(start, start + count)]


def first_token(word: str) -> int:
    return tiny_tokenizer().encode(word, add_special_tokens=False)[0]


def shelf_of(reward: Reward, namespace: str = "default") -> Shelf:
    return Shelf(namespace=namespace, fingerprint=model().fingerprint(), reward=reward.id)


def trace_for(question: str, shelf: Shelf, word: str | None = None) -> Trace:
    """A trace as a search would leave it that found the right word, or another one."""
    return replace(_trace(question, word or WORDS[colour_of(question)]), shelf=shelf)


@cache
def _trace(question: str, word: str) -> Trace:
    prompt = encode_chat(model().tokenizer, [Turn("user", question)])
    call = Call(model(), SEARCH, as_reward(right), [Turn("user", question)], prompt)
    embedding = call.writer.embed()
    draft = call.writer.opening().tokens
    base = call.writer.base()
    engine = transformers_engine(model())
    tokens = (first_token(word), draft[1])
    optimised = base.clone()
    head: Any = engine.model.get_output_embeddings()
    optimised[0] += 0.1 * head.weight[tokens[0]].detach()
    return Trace(
        shelf=shelf_of(CallableReward(right)),
        query=question,
        answer=engine.text(tokens),
        embedding=embedding.numpy(),
        base=base.numpy(),
        optimised=optimised.numpy(),
        tokens=tokens,
        score=0.0,
        rewards=((-1.0,), (0.0,)),
        steps=1,
        stopped="threshold",
    )


def wrong_trace_for(question: str, shelf: Shelf) -> Trace:
    """A trace whose rewards were flipped: the wrong word scored best."""
    words = list(WORDS.values())
    return trace_for(question, shelf, words[words.index(WORDS[colour_of(question)]) - 1])


def draft_trace_for(question: str, shelf: Shelf) -> Trace:
    """A trace of a draft that was accepted as it was."""
    found = trace_for(question, shelf)
    engine = transformers_engine(model())
    with torch.no_grad():
        likeliest = engine.logits(torch.from_numpy(found.base)).argmax(-1)
    return replace(
        found, optimised=found.base, tokens=tuple(likeliest.tolist()), score=0.0, steps=0
    )


def day(
    memory: LatentMemory,
    count: int = 120,
    *,
    start: int = 0,
    colours: Sequence[str] = tuple(WORDS),
    reward: Callable[[str, str], float] = right,
    namespace: str = "default",
    make: Callable[[str, Shelf], Trace] = trace_for,
) -> Shelf:
    """Fill a shelf with traces, in one transaction; return it."""
    shelf = shelf_of(CallableReward(reward), namespace)
    memory.add_many([make(question, shelf) for question in questions(count, start, colours)])
    return shelf


def job(memory: LatentMemory, shelf: Shelf, **given: Any) -> NightJob:
    settings: dict[str, Any] = {"search": SEARCH, "settings": SETTINGS, **given}
    return NightJob(memory=memory, model=model(), shelf=shelf, **settings)


def agent(
    memory: LatentMemory, prior: str | None = "auto", mode: Mode = "read", neighbours: int = 0
) -> LatentAgent:
    """What answers questions of the small world."""
    reward = CallableReward(right)
    shelf = TraceMemory(memory, "default", reward.id, mode=mode, prior=prior)
    return LatentAgent(model(), replace(SEARCH, neighbours=neighbours), reward, shelf)


def shuffled(traces: Sequence[Trace], seed: int = 0) -> list[Trace]:
    """Give each question the optimised latents and tokens of another."""
    order = np.random.default_rng(seed).permutation(len(traces))
    return [
        replace(trace, optimised=traces[other].optimised, tokens=traces[other].tokens)
        for trace, other in zip(traces, order, strict=True)
    ]


def open_at(folder: Path) -> LatentMemory:
    return LatentMemory(folder / "memory.sqlite3")


def usable_prior(
    memory: LatentMemory, shelf: Shelf, version: str | None = None
) -> ActivePrior | None:
    """Return the prior of a shelf that calls would use, if there is one."""
    try:
        return ActivePrior.find(memory, shelf, version)
    except PriorError:
        return None

"""One engine in a process of its own: calls of fixed lengths, and plain greedy decoding of them.

A call drafts ``answer`` tokens, and four checks of ``verdict`` tokens judge the draft, which is
accepted whatever they say. No token ends an answer, so that every engine does the same work.
"""

import ctypes
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from dev.bench.floor import Floor
from dev.bench.record import Judging
from latent_agent.call.agent import LatentAgent
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.engine import Engine
from latent_agent.model.generate import common_length
from latent_agent.model.options import LoadOptions
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import open_model
from latent_agent.reward import Reward, SelfReward
from latent_agent.reward.base import Case, Score
from latent_agent.reward.judge import JudgeRequest
from latent_agent.settings import settings_for

Ids = list[int]


class _Accepting(Reward):
    """Lets the model judge, keeps what it was asked, and accepts the answer."""

    def __init__(self, judge: Reward) -> None:
        self._judge, self.asked = judge, list[JudgeRequest]()

    def score(self, case: Case) -> Score:
        assert case.judge is not None
        asked, ask = self.asked, case.judge.ask

        def watched(requests: Sequence[JudgeRequest]) -> list[str]:
            asked.extend(requests)
            return ask(requests)

        case.judge.ask = watched  # type: ignore[method-assign]
        self._judge.score(case)
        return Score(value=0.0)


def run(
    model: str,
    options: LoadOptions,
    questions: Sequence[str],
    *,
    rows: int,
    answer: int,
    verdict: int,
    repeats: int,
) -> dict[str, Any]:
    """Measure calls, ``rows`` at once, and plain decoding of the same tokens one after the other.

    Returns:
        Medians of the repeats are the caller's; all are returned, in seconds.
    """
    began = time.perf_counter()
    shared = open_model(model, None, options)
    engine = shared.engine()
    loaded = time.perf_counter() - began
    engine.stop_ids = frozenset()
    settings = settings_for(max_tokens=answer, max_iterations=1)
    reward = _Accepting(SelfReward(max_tokens=verdict))
    agent = LatentAgent(shared, settings, reward)
    asked = [Turn("user", question) for question in questions]
    agent.answer(asked[:1])  # what is read or made once
    if rows == 1:
        _pay(engine, asked[:1], reward.asked, answer, verdict)
    calls: list[float] = []
    plain: list[float] = []
    tokens = 0
    for _ in range(repeats):
        reward.asked.clear()
        began = time.perf_counter()
        with ThreadPoolExecutor(rows) as threads:
            outcomes = list(threads.map(agent.answer, [[turn] for turn in asked]))
        calls.append(time.perf_counter() - began)
        tokens = sum(sum(outcome.forwarded_tokens.values()) for outcome in outcomes)
        if rows == 1:
            began = time.perf_counter()
            _pay(engine, asked, reward.asked, answer, verdict)
            plain.append(time.perf_counter() - began)
    return {
        "load_seconds": loaded,
        "seconds": calls,
        "plain_seconds": plain,
        "forwarded_tokens": tokens,
        "written_tokens": len(asked) * answer,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": getattr(engine, "threads", torch.get_num_threads()),
    }


def _pay(
    engine: Engine, asked: Sequence[Turn], judged: Sequence[JudgeRequest], answer: int, verdict: int
) -> None:
    """Decode what the calls must read and write, by what the engine itself offers."""
    decoder = plain_decoder(engine)
    checks = len(judged) // len(asked)
    for number, turn in enumerate(asked):
        decoder.write([encode_chat(engine.tokenizer, [turn])], answer)
        prompts = [
            encode_chat(engine.tokenizer, [Turn("user", request.prompt)])
            for request in judged[number * checks : (number + 1) * checks]
        ]
        decoder.write(prompts, verdict)


def plain_decoder(engine: Engine) -> Any:
    """Return what decodes greedily by what the engine itself offers."""
    return _Transformers(engine) if engine.name == "transformers" else _Llama(engine)


class _Transformers:
    """`generate`, cached; rows share what their prompts begin with."""

    def __init__(self, engine: Any) -> None:
        self._floor = Floor(engine.model, engine.tokenizer, stops=frozenset())

    def write(self, prompts: Sequence[Ids], count: int) -> None:
        if len(prompts) == 1:
            self._floor.answer(prompts[0], count)
        else:
            self._floor.judge(Judging(prompts=tuple(map(tuple, prompts)), longest=count))


class _Llama:
    """llama.cpp's own calls, without latents; rows share the cells of what they begin with."""

    def __init__(self, engine: Any) -> None:
        from latent_agent.model.llama_engine.context import READ_AT_ONCE
        from latent_agent.model.llama_engine.library import library

        self._llama, self._engine, self._longest = library(), engine, READ_AT_ONCE

    def write(self, prompts: Sequence[Ids], count: int) -> None:
        engine, context = self._engine, self._engine.context
        holder, forks = engine.sequence(Budget()), len(prompts) - 1
        room = sum(map(len, prompts)) + count * len(prompts)
        with engine.cells.claimed(holder, room, forks, lambda: None) as numbers:
            rows = [holder.place.number, *numbers]
            shared = common_length(prompts) if forks else len(prompts[0])
            shared = min(shared, min(map(len, prompts)) - 1)
            self._llama.llama_set_embeddings(context._context, False)
            self._decode(
                [(token, rows[0], at, False) for at, token in enumerate(prompts[0][:shared])]
            )
            for row in rows[1:]:
                context.share(rows[0], row, shared)
            tails = [
                [(token, row, shared + at, shared + at == len(prompt) - 1)
                 for at, token in enumerate(prompt[shared:])]
                for row, prompt in zip(rows, prompts, strict=True)
            ]  # fmt: skip
            last = self._decode([token for tail in tails for token in tail])
            for step in range(count - 1):
                following = [
                    (token, row, len(prompt) + step, True)
                    for token, row, prompt in zip(last, rows, prompts, strict=True)
                ]
                last = self._decode(following)
            context.cut(rows[0], 0)

    def _decode(self, tokens: Sequence[tuple[int, int, int, bool]]) -> list[int]:
        context, found = self._engine.context, list[int]()
        batch = context._batch
        for first in range(0, len(tokens), self._longest):
            part = tokens[first : first + self._longest]
            batch.n_tokens = len(part)
            for place, (token, row, at, output) in enumerate(part):
                batch.token[place], batch.pos[place] = token, at
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, row
                batch.logits[place] = output
            assert self._llama.llama_decode(context._context, batch) == 0
            for place, (*_, output) in enumerate(part):
                if output:
                    logits = self._llama.llama_get_logits_ith(context._context, place)
                    row = (ctypes.c_float * self._engine.vocabulary).from_address(
                        ctypes.addressof(logits.contents)
                    )
                    found.append(int(torch.frombuffer(row, dtype=torch.float32).argmax()))
        return found

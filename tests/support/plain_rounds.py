"""Rounds of several candidates in their plainest form: each written, judged and chosen by itself.

What `plain_latentseek` is to the published search, this is to rounds: no cache, no batch, no
skipping, float32. The candidates' latents are given, since the first step of Adam follows the signs
of gradients that may be all but zero; that they lie along the gradient is checked.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch

from dev.bench.plain import PlainLM, Tried, plain_decode, plain_loss
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.sampling import Sampler
from latent_agent.reward.base import Case, Reward, Score, checked_score
from latent_agent.settings import Settings


@dataclass
class PlainLine:
    """Where a walk is, Adam's state, and the answers that its next gradient is taken of."""

    z: torch.Tensor
    tried: list[Tried]
    adam: dict[str, Any] = field(default_factory=dict[str, Any])


Places = Callable[[torch.Tensor, torch.Tensor, int], list[torch.Tensor]]
"""Takes a line's latents, one step of it and a count; returns the latents that are tried."""


def plain_rounds(  # noqa: C901 - the method in one piece, to be read beside its description
    lm: PlainLM, reward: Reward, settings: Settings, question: str, along: Places
) -> tuple[list[int], list[list[float]], int]:
    """Return (answer tokens, rewards by round, rounds after the draft's)."""
    prompt = encode_chat(lm.tokenizer, [Turn("user", question)])
    limit, width = settings.max_tokens, int(settings.width)

    def rank(trial: Tried) -> tuple[bool, float]:
        return trial[1].passes(settings.threshold), trial[1].value

    def score(tokens: list[int]) -> Score:
        case = Case(question=question, answer=lm.text(tokens), conversation=question, judge=lm)
        return checked_score(reward, case)

    def prefix_of(z: torch.Tensor, sampler: Sampler) -> list[int]:
        tokens = plain_decode(lm, z.detach(), sampler)
        for place, token in enumerate(tokens):
            if settings.rest == "anew" and token != draft[place]:
                return tokens[: place + 1]
        return tokens

    draft, latents = lm.write(prompt, [], limit, Sampler(0))
    length = settings.prefix_length(len(draft))
    starts: list[Tried] = [(draft, score(draft), draft[:length])]
    for number in range(1, settings.drafts):
        sampler = Sampler(settings.draft_temperature, settings.seed, sample=number)
        tokens, _ = lm.write(prompt, [], limit, sampler)
        starts.append((tokens, score(tokens), []))
    best, rounds = max(starts, key=rank), 0
    rewards = [[score.value for _, score, _ in starts]]
    lines = [PlainLine(torch.stack(latents[:length]), starts[:1])]
    onward, furthest = lines[0], starts[0]
    while rounds < settings.max_iterations and not best[1].passes(settings.threshold):
        rounds += 1
        each, over = divmod(max(width, len(lines)), len(lines))
        places: list[PlainLine] = []
        for number, line in enumerate(lines):
            first = _stepped(lm, line, settings)
            found = along(line.z, first.z, each + (number < over))
            places += [PlainLine(z, [], deepcopy(first.adam)) for z in found]
        tried_now: list[Tried] = []
        for place, line in enumerate(places):
            line.tried = []
            for sample in range(settings.samples):
                number = place * settings.samples + sample
                sampler = Sampler(settings.temperature, settings.seed, rounds, number)
                prefix = prefix_of(line.z, sampler)
                tokens, _ = lm.write(prompt, prefix, limit, sampler)
                line.tried.append((tokens, score(tokens), prefix))
            for trial in line.tried:
                if rank(trial) > rank(furthest):
                    onward, furthest = line, trial
            tried_now += line.tried
        rewards.append([score.value for _, score, _ in tried_now])
        best = max([best, *tried_now], key=rank)
        lines = places
        if settings.onward == "best":
            lines = [PlainLine(onward.z, tried_now, onward.adam)]
    return best[0], rewards, rounds


def _stepped(lm: PlainLM, line: PlainLine, settings: Settings) -> PlainLine:
    """Return where one step of Adam leads, and its state there."""
    z = line.z.clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=settings.learning_rate)
    if line.adam:
        adam.load_state_dict(deepcopy(line.adam))
    plain_loss(lm, z, line.tried, settings).backward()  # pyright: ignore[reportUnknownMemberType]
    adam.step()
    return PlainLine(z.detach(), line.tried, deepcopy(adam.state_dict()))

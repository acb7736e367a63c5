"""GradCuit in its plainest form: no cache, no batch, float32, torch's own Adam and autograd.

What `plain_latentseek` is to LatentSeek, this is to arXiv 2608.02585 and to its random walk.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any
from zlib import crc32

import torch

from dev.bench.plain import PlainLM
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.sampling import Sampler, random_stream
from latent_agent.search.soft_prefix import TEXT
from latent_agent.settings import Settings

Judge = Callable[[str], float]


class PlainSoft:
    """A model that reads everything anew, with a text's states at a block's input put in."""

    def __init__(self, lm: PlainLM, prompt: list[int], depth: float) -> None:
        self.lm, self.prompt = lm, prompt
        self.ids: list[int] = lm.tokenizer.encode(TEXT, add_special_tokens=False)
        self.block: Any = lm.body.layers[int(depth * len(lm.body.layers))]

    @contextmanager
    def _put(self, z: torch.Tensor) -> Generator[None]:
        first = len(self.prompt)

        def put(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            rest = inputs[0][:, first + len(z) :]
            return torch.cat([inputs[0][:, :first], z[None], rest], dim=1), *inputs[1:]

        handle = self.block.register_forward_pre_hook(put)
        try:
            yield
        finally:
            handle.remove()

    @torch.no_grad()
    def own(self) -> torch.Tensor:
        """The text's own states, (P, d)."""
        seen: list[torch.Tensor] = []
        handle = self.block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        self.lm.body(torch.tensor([self.prompt + self.ids]), use_cache=False)
        handle.remove()
        return seen[0][0, len(self.prompt) :].clone()

    def logits(self, z: torch.Tensor, answer: list[int]) -> torch.Tensor:
        """Logits of the answer's tokens and of the next, (T + 1, vocabulary)."""
        with self._put(z):
            rows = torch.tensor([self.prompt + self.ids + answer])
            states = self.lm.body(rows, use_cache=False).last_hidden_state[0]
        return self.lm.head(states[len(self.prompt) + len(self.ids) - 1 :])

    @torch.no_grad()
    def write(self, z: torch.Tensor, limit: int) -> list[int]:
        """Write an answer greedily."""
        tokens: list[int] = []
        while len(tokens) < limit and not (tokens and tokens[-1] in self.lm.stops):
            tokens.append(Sampler(0).choose(self.logits(z, tokens)[-1]))
        return tokens

    def likelihood(self, z: torch.Tensor, answer: list[int]) -> torch.Tensor:
        """An answer's log-likelihood."""
        chosen: Any = torch.distributions.Categorical(logits=self.logits(z, answer)[:-1])
        return chosen.log_prob(torch.tensor(answer)).sum()


def plain_gradcuit(
    lm: PlainLM, judge: Judge, settings: Settings, question: str
) -> tuple[list[int], list[list[float]]]:
    """Return (answer tokens, rewards by round).

    A step is tried at ``width`` lengths. With ``onward="each"`` the width must be 1; with ``best``
    the next step goes on from the best place so far, and learns from the last round's answers.
    """
    prompt = encode_chat(lm.tokenizer, [Turn("user", question)])
    soft, rate = PlainSoft(lm, prompt, settings.soft_depth), settings.learning_rate
    limit, width = settings.max_tokens, int(settings.width)
    draft, _ = lm.write(prompt, [], limit, Sampler(0))
    tried = [(draft, judge(lm.text(draft)))]
    stream = -1 - crc32(repr(tuple(draft)).encode())
    best, rewards = tried[0], [[tried[0][1]]]
    at = best_place = (soft.own(), dict[str, Any]())
    for number in range(settings.max_iterations):
        z = at[0].clone().requires_grad_()
        adam = torch.optim.Adam([z], lr=rate)
        if at[1]:
            adam.load_state_dict(deepcopy(at[1]))
        if settings.search == "soft_prefix":
            for tokens, reward in tried:
                (-reward * soft.likelihood(z, tokens) / len(tried)).backward()  # pyright: ignore[reportUnknownMemberType]
            adam.step()
            step = z.detach() - at[0]
            places = [at[0] + step * 2.0**power for power in range(width)]
        else:
            noises = (
                torch.randn(z.shape, generator=random_stream(settings.seed, row, stream))
                for row in range(number * width, (number + 1) * width)
            )
            places = [at[0] + rate * noise for noise in noises]
        answers = [soft.write(one, limit) for one in places]
        tried = [(tokens, judge(lm.text(tokens))) for tokens in answers]
        rewards.append([reward for _, reward in tried])
        stepped = [(place, deepcopy(adam.state_dict())) for place in places]
        for place, one in zip(stepped, tried, strict=True):
            if one[1] > best[1]:
                best, best_place = one, place
        at = best_place if settings.onward == "best" else stepped[0]
    return best[0], rewards

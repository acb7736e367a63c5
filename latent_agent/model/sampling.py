"""Choose a token from logits: the likeliest, or a seeded sample."""

import hashlib
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from transformers import TopPLogitsWarper

from latent_agent.model.logits_mask import FREE, Constraint


def nucleus(scores: torch.Tensor, top_p: float) -> torch.Tensor:
    """Return scores with minus infinity for all but the tokens that `Sampler` draws from.

    Args:
        scores: Logits over the temperature, (n, vocabulary); left as they are.
        top_p: Only the likeliest tokens that together reach this probability are kept.
    """
    if top_p == 1:
        return scores
    warper: Any = TopPLogitsWarper(top_p)
    return warper(None, scores)


def random_stream(seed: int, step: int, sample: int) -> torch.Generator:
    """Return the random numbers of one sample of a step."""
    digest = hashlib.sha256(f"{seed}/{step}/{sample}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:6]))


class Sampler:
    """Chooses tokens; with a temperature, by its own random stream.

    Each (seed, step, sample) has a stream of its own, so that what one answer draws depends on
    nothing that ran before or beside it.

    Args:
        temperature: 0 takes the likeliest token.
        seed: The call's seed.
        step: Gradient step that asks.
        sample: Which of the step's samples.
        top_p: Only the likeliest tokens that together reach this probability are drawn from.
        constraint: What may follow what.

    Attributes:
        constraint: What may follow what.
        greedy: Whether it takes the likeliest token.
        free: Whether every token may follow.
    """

    def __init__(
        self,
        temperature: float,
        seed: int = 0,
        step: int = 0,
        sample: int = 0,
        top_p: float = 1.0,
        constraint: Constraint = FREE,
    ) -> None:
        self.greedy, self.free = temperature == 0, constraint is FREE
        self._temperature, self.constraint = temperature, constraint
        self._top_p = top_p
        self._generator = random_stream(seed, step, sample)

    @property
    def state(self) -> Hashable:
        """What its next tokens hang on beside the logits and the constraint."""
        if self.greedy:
            return "greedy"
        drawn = self._generator.get_state().numpy().tobytes()
        return (self._temperature, self._top_p, hashlib.sha256(drawn).digest())

    def choose(self, logits: torch.Tensor, tokens: Sequence[int] = ()) -> int:
        """Choose from logits of shape (vocabulary,) what follows an answer's tokens so far."""
        logits = self.constraint.mask(logits, tokens)
        if self.greedy:
            return int(logits.argmax())
        scores = logits.float().cpu() / self._temperature
        weights = torch.softmax(nucleus(scores[None], self._top_p)[0], dim=-1)
        # One number is drawn, not one for every token as in `multinomial`: of a large vocabulary
        # that takes longer than a pass of a small model.
        reached = weights.cumsum(-1)
        drawn = torch.rand(1, generator=self._generator) * reached[-1]
        place = int(torch.searchsorted(reached, drawn, right=True))
        return place if place < len(reached) else int(weights.nonzero()[-1])  # drawn: rounded up


class KnownAnswer(Sampler):
    """Chooses the tokens of an answer that is known already, whatever the logits say.

    Args:
        answer: Its ids.
    """

    def __init__(self, answer: Sequence[int]) -> None:
        super().__init__(0.0)
        self._answer = answer

    def choose(self, logits: torch.Tensor, tokens: Sequence[int] = ()) -> int:  # noqa: ARG002
        """Choose what follows an answer's tokens so far."""
        return self._answer[len(tokens)]


GREEDY = Sampler(0.0)

"""LatentSeek: policy gradient on the latents of an answer's first tokens.

arXiv 2505.13308, section 3: ascend ``J(z) = E[R(x, c)]`` with the REINFORCE gradient
``E[R(x, c) * grad log pi(x_t | z_t)]``, positions independent; decode; continue; score again.
"""

from functools import partial
from typing import Self

from latent_agent.model.sampling import Sampler
from latent_agent.search.boundary_step import lengths, to_the_edge
from latent_agent.search.policy_gradient import policy_gradient
from latent_agent.search.position_selection import updated
from latent_agent.search.prefix import read_prefix
from latent_agent.search.types import Candidate, Searchable, Start
from latent_agent.search.walk import Walk
from latent_agent.settings import Settings


class Line(Walk):
    """One walk through the latents.

    Args:
        call: Latents to tokens.
        settings: How the latents are moved.
        start: Where it begins.

    Attributes:
        z: Where it is, (N, d).
        trials: The answers that the next gradient is taken of.
    """

    def __init__(self, call: Searchable, settings: Settings, start: Start) -> None:
        self._space, self._settings, self._constraint = call.engine, settings, call.constraint
        super().__init__(start.whole.detach().clone(), [start.trial], settings.learning_rate)
        self._moving = updated(self.z, self._space.logits, settings)
        begun = start.trial.tokens[: len(self.z)]
        # Takes latents and a sampler; returns the prefix that they stand for.
        self._prefix = partial(read_prefix, call.decode, begun, settings)

    def row(self, sampler: Sampler) -> Candidate:
        """Return what an answer is written from here."""
        return Candidate(self._prefix(self.z, sampler), sampler)

    def step(self, count: int) -> list[Self]:
        """Take one gradient step; return where it leads, at up to ``count`` lengths of it.

        The first is the step itself. Each further one is just long enough that greedy decoding
        takes other tokens than at the one before.
        """
        settings, space, constraint = self._settings, self._space, self._constraint
        gradient = policy_gradient(self.z, self.trials, space, settings, constraint)
        first = self._ascended(gradient if self._moving is None else gradient * self._moving)
        greedily = partial(self._prefix, sampler=Sampler(0.0, constraint=constraint))
        step = first.z - self.z
        if settings.step == "margin":
            first.z.copy_(to_the_edge(self.z, step, space.logits, greedily, constraint))
        further = lengths(first.z, step, count - 1, space.logits, greedily, constraint)
        return [first, *map(first._at, further)]

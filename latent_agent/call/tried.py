"""An answer that was written and is to be scored, with the latents that it was written from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from latent_agent.model.engine import Completion
from latent_agent.reward.base import Score
from latent_agent.search.types import Start, Trial
from latent_agent.tools.call import ToolCall


@dataclass(frozen=True)
class Tried:
    """An answer that was written.

    Attributes:
        completion: The answer.
        prefix: Its first tokens, as latents stand for them.
        source: Where it comes from; see `Trial`.
        latents: The latents, (N, d); None: the search that asked knows them.
        neighbours: Ids of the traces that gave it.
        written: The latents of what follows the prefix, (T, d), where `latents` end there.
    """

    completion: Completion
    prefix: tuple[int, ...]
    source: str
    latents: torch.Tensor | None = None
    neighbours: tuple[int, ...] = ()
    written: torch.Tensor | None = None

    def trial(self, score: Score, calls: Sequence[ToolCall]) -> Trial:
        """Return it with its score and the tool calls that it makes."""
        return Trial(
            prefix=self.prefix,
            tokens=self.completion.tokens,
            text=self.completion.text,
            score=score,
            finish=self.completion.finish,
            source=self.source,
            calls=calls,
            latents=self.latents if self.source == "search" else None,
        )

    def start(self, trial: Trial) -> Start:
        """Return it, scored, as what a search may begin from."""
        assert self.latents is not None
        return Start(
            trial=trial,
            latents=self.latents,
            written=self.written,
            neighbours=self.neighbours,
        )

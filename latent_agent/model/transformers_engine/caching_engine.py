"""What sequences of cached keys and values need of their engine."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from transformers import Cache, DynamicCache

from latent_agent.model.batch_scheduler import BatchScheduler
from latent_agent.model.engine import Engine
from latent_agent.model.transformers_engine.padded_passes import PaddedPasses


class CachingEngine(Engine):
    """What a sequence needs of its engine beyond the seam.

    Attributes:
        scheduler: The order in which threads use the model.
        passes: Makes the passes that they share.
        slides: Whether attention looks at a window alone, which padding would stretch.
    """

    scheduler: BatchScheduler
    passes: PaddedPasses
    slides: bool

    @abstractmethod
    def rows_at_once(self, rows: int, length: int) -> int:
        """Return how many of some rows of a length fit the free memory."""

    @abstractmethod
    def states(
        self,
        ids: torch.Tensor,
        cache: Cache,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run token ids (rows, length) through the body; return states (rows, length, d)."""

    @abstractmethod
    def layers(
        self, ids: torch.Tensor, cache: DynamicCache
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        """Like `states`, with the states after the embeddings and after each layer."""

    @abstractmethod
    def block_states(self, ids: torch.Tensor, cache: Cache, block: int) -> torch.Tensor:
        """Run token ids (rows, length) through the body; return a block's inputs, of that shape."""

    @abstractmethod
    def back(
        self, output: torch.Tensor, states: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        """Turn a gradient of what `states_behind` returned into that of the states put in."""

    @abstractmethod
    def states_behind(
        self,
        ids: torch.Tensor,
        cache: Cache,
        block: int,
        soft: torch.Tensor,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Like `states`, with other first inputs of a block, (rows, P, d), and gradients kept."""

"""The prior that a call starts with: looked up anew at each call, read from its file once."""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from latent_agent.errors import PriorError
from latent_agent.recall.prior_checkpoint import load_prior
from latent_agent.recall.prior_network import LatentPrior
from latent_memory import LatentMemory, Shelf
from latent_memory.priors.priors import PriorInfo, active_prior, find_prior, priors_folder
from latent_memory.trace import Vector

_KEPT = 8  # priors held in memory


@dataclass(frozen=True, kw_only=True)
class ActivePrior:
    """One version of a prior; a call that holds it is not touched by publishing.

    Attributes:
        version: Its version.
        prefix_tokens: How many latents it corrects (N).
    """

    version: str
    prefix_tokens: int
    network: LatentPrior

    @classmethod
    def for_shelf(
        cls, memory: LatentMemory, shelf: Shelf, version: str | None = None
    ) -> "ActivePrior | None":
        """Return the active prior on a shelf, or the one of a version; None if there is none.

        A file that is damaged, or is not what the database says, is not used with a warning.

        Raises:
            LatentMemoryError: If the memory cannot be read, or holds no prior of that version.
        """
        try:
            return cls.find(memory, shelf, version)
        except PriorError as error:
            warnings.warn(str(error), stacklevel=2)
            return None

    @classmethod
    def find(
        cls, memory: LatentMemory, shelf: Shelf, version: str | None = None
    ) -> "ActivePrior | None":
        """Return what `for_shelf` does, or say why it is not used.

        Raises:
            LatentMemoryError: If the memory cannot be read, or holds no prior of that version.
            PriorError: If the file is damaged, or is not what the database says.
        """
        base = memory.database
        info = active_prior(base, shelf) if version is None else find_prior(base, int(version))
        if info is None:
            return None
        try:
            return cls.of(info, shelf, memory.path)
        except PriorError as error:
            raise PriorError(f"prior {info.version} is not used: {error}") from error

    @classmethod
    def of(
        cls, info: PriorInfo, shelf: Shelf, database: Path, *, anew: bool = False
    ) -> "ActivePrior":
        """Read a prior for a shelf; ``anew`` even if it has been read before.

        Raises:
            PriorError: If its file is damaged, or is not what the database says.
        """
        if info.file is None or info.checksum is None:
            raise PriorError(
                f"a prior must have a file, but that of version {info.version} was pruned; see: "
                "latent-agent prior list"
            )
        read = _read if anew else _read_once
        network = read(prior_path(database, info.file), info.version, info.checksum, shelf)
        return cls.holding(network, str(info.version))

    @classmethod
    def holding(cls, network: LatentPrior, version: str) -> "ActivePrior":
        """Return a prior that need not be in any file."""
        return cls(version=version, prefix_tokens=network.shape.positions, network=network)

    def fits(self, embedding: int, width: int) -> bool:
        """Whether `check` passes; draws a warning if not."""
        try:
            self.check(embedding, width)
        except PriorError as error:
            warnings.warn(str(error), stacklevel=2)
            return False
        return True

    def check(self, embedding: int, width: int) -> None:
        """Hold the prior to the widths of its model: of the embedding, and of the states.

        Its card bears the names of the shelf, but cards are written by whoever writes files.

        Raises:
            PriorError: If it was made for others.
        """
        shape, widths = self.network.shape, (embedding, width)
        if (shape.embedding, shape.width) != widths:
            raise PriorError(
                f"prior {self.version} is not used: a prior must have the widths of its model's "
                f"embedding and states, {widths!r}, got {(shape.embedding, shape.width)!r}; go "
                "back with: latent-agent prior rollback"
            )

    @torch.no_grad()
    def correct(self, embedding: torch.Tensor | Vector, base: torch.Tensor) -> torch.Tensor:
        """Return the corrected latents, (M, d) float32, where ``base`` lies.

        Args:
            embedding: The question's, raw, (e,): an array or a tensor.
            base: The first latents of its greedy draft, (M, d); those from N on stay as they are.
        """
        if not isinstance(embedding, torch.Tensor):
            embedding = torch.from_numpy(np.array(embedding, np.float32))
        here = self.network.device
        return self.network(embedding.to(here), base.to(here)).to(base.device)


def prior_path(database: Path, file: str) -> Path:
    """Return a prior's path, which never leaves the folder of the database's priors.

    Raises:
        PriorError: If the name would.
    """
    folder = priors_folder(database)
    path = folder / file
    if Path(file).name != file or path.is_symlink():
        raise PriorError(
            f"a prior's file must lie in {str(folder)!r} itself, got {file!r}; go back with: "
            "latent-agent prior rollback"
        )
    return path


def _read(path: Path, version: int, checksum: str, shelf: Shelf) -> LatentPrior:
    network, card = load_prior(path)
    found = (card.version, card.checksum, card.fingerprint, card.reward, card.namespace)
    wanted = (str(version), checksum, shelf.fingerprint, shelf.reward, shelf.namespace)
    if found != wanted:
        raise PriorError(
            f"a prior must be of the version, checksum, model, reward and namespace that the "
            f"database says, {wanted!r}, but {str(path)!r} is of {found!r}; go back with: "
            "latent-agent prior rollback"
        )
    return network


_read_once = lru_cache(maxsize=_KEPT)(_read)

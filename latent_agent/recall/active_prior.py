"""The prior that a call starts with: looked up at each call, read from its file once."""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from weakref import ref

import numpy as np
import torch

from latent_agent.errors import PriorError
from latent_agent.recall.prior_checkpoint import PriorCard, load_prior
from latent_agent.recall.prior_network import LatentPrior
from latent_memory import LatentMemory, Shelf
from latent_memory.database import Database
from latent_memory.priors.priors import PriorInfo, active_prior, find_prior
from latent_memory.trace import Vector

_KEPT = 8  # priors held in memory


@dataclass(frozen=True, kw_only=True)
class ActivePrior:
    """One version of a prior; a call that holds it is not touched by publishing.

    Attributes:
        version: Its version.
        network: Corrects the first latents of a draft.
    """

    version: str
    network: LatentPrior

    @classmethod
    def find(
        cls,
        memory: LatentMemory,
        shelf: Shelf,
        version: str | None = None,
        widths: tuple[int, int] | None = None,
    ) -> "ActivePrior | None":
        """Return the active prior on a shelf, or the one of a version; None if there is none.

        Args:
            memory: Where it is kept.
            shelf: Whose prior it is.
            version: Its version; None: the active one.
            widths: Of the model's embedding and states, which it must have. Its card bears the
                names of the shelf, but anyone who writes files can write a card.

        Raises:
            LatentMemoryError: If the memory cannot be read, or holds no prior of that version.
            PriorError: If the file is damaged, is not what the database says, or has other
                widths; a warning is drawn too.
        """
        base = memory.database
        info = active_prior(base, shelf) if version is None else find_prior(base, int(version))
        if info is None:
            return None
        try:
            prior = cls.of(info, shelf, base)
            shape = prior.network.shape
            if widths not in (None, (shape.embedding, shape.width)):
                raise PriorError(
                    "a prior must have the widths of its model's embedding and states, "
                    f"{widths!r}, got {(shape.embedding, shape.width)!r}; go back with: "
                    "latent-agent prior rollback"
                )
            return prior
        except PriorError as error:
            reason = f"prior {info.version} is not used: {error}"
            warnings.warn(reason, stacklevel=2)
            raise PriorError(reason) from error

    @classmethod
    def of(
        cls, info: PriorInfo, shelf: Shelf, database: Database, *, fresh: bool = False
    ) -> "ActivePrior":
        """Read a prior for a shelf; ``fresh``: even if it has been read before.

        Raises:
            PriorError: If its file is damaged, or is not what the database says.
        """
        if info.file is None or info.checksum is None:
            raise PriorError(
                f"a prior must have a file, but that of version {info.version} was pruned; see: "
                "latent-agent prior list"
            )
        read = _read if fresh else _read_once
        network = read(_File(database, info.file), info.version, info.checksum, shelf)
        return cls(version=str(info.version), network=network)

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


class _File:
    """A prior's file: the same for all who have the same database open, and it keeps none open."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._location, self.name = ref(database), database.location, name

    def load(self) -> tuple[LatentPrior, PriorCard]:
        database = self._database()
        assert database is not None
        return load_prior(database.files, self.name)

    def _key(self) -> tuple[object, str]:
        return self._location, self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _File) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def _read(file: _File, version: int, checksum: str, shelf: Shelf) -> LatentPrior:
    network, card = file.load()
    actual = (card.version, card.checksum, card.fingerprint, card.reward, card.namespace)
    wanted = (str(version), checksum, shelf.fingerprint, shelf.reward, shelf.namespace)
    if actual != wanted:
        raise PriorError(
            f"a prior must be of the version, checksum, model, reward and namespace that the "
            f"database says, {wanted!r}, but {file.name!r} is of {actual!r}; go back with: "
            "latent-agent prior rollback"
        )
    return network


_read_once = lru_cache(maxsize=_KEPT)(_read)

"""A prior as a file: safetensors, and beside the weights what it is, as JSON.

A file is believed only if its checksum holds.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from latent_agent.errors import PriorError
from latent_agent.recall.prior_network import LatentPrior, PriorShape
from latent_memory import LatentMemoryError
from latent_memory.database import Files

FORMAT = 1
_KEY = "latent_prior"


@dataclass(frozen=True, kw_only=True)
class PriorCard:
    """What a prior is: written beside its weights.

    Attributes:
        version: Its number in the database.
        namespace: Whose traces it was trained on and is meant for.
        fingerprint: Of the model whose latents it corrects.
        reward: Id of the reward that scored the traces.
        first_trace: Id of the oldest trace that it was trained on.
        last_trace: Id of the newest.
        shape: Its sizes.
        checksum: SHA-256 of the weights and of all the rest of this card.
    """

    version: str
    namespace: str
    fingerprint: str
    reward: str
    first_trace: int
    last_trace: int
    shape: PriorShape
    checksum: str = ""


def save_prior(prior: LatentPrior, card: PriorCard, files: Files, name: str) -> PriorCard:
    """Write a prior, whole or not at all; return its card with the checksum.

    Raises:
        OSError: If the disk refuses.
        LatentMemoryError: If the memory refuses.
    """
    weights = prior.weights()
    signed = replace(card, checksum=_checksum(weights, card))
    text = json.dumps({"format": FORMAT, **asdict(signed)}, sort_keys=True)
    files.write(name, save(dict(weights), metadata={_KEY: text}))
    return signed


def load_prior(files: Files, name: str) -> tuple[LatentPrior, PriorCard]:
    """Read a prior and its card.

    Raises:
        PriorError: If the file is missing, damaged, of another format, or no prior at all.
    """
    try:
        content = files.read(name)
        weights = load(content)
        card = _read_card(_notes(content))
        prior = _filled(card.shape, weights)
    except (
        *(LatentMemoryError, OSError, SafetensorError),
        *(ValueError, TypeError, KeyError, RuntimeError),
    ) as error:
        raise _damaged(name, str(error).splitlines()[0]) from error
    if card.checksum != _checksum(prior.weights(), card):
        raise _damaged(name, "its checksum does not hold")
    return prior.eval().requires_grad_(False), card


def _filled(shape: PriorShape, weights: Mapping[str, torch.Tensor]) -> LatentPrior:
    """Return a prior of the given weights; whatever sizes its card claims, no more is allocated."""
    with torch.device("meta"):
        prior = LatentPrior(shape)
    if any(weight.dtype != torch.float32 for weight in weights.values()):
        raise ValueError("its weights are not float32")
    prior.load_state_dict(dict(weights), assign=True)
    return prior


def _damaged(name: str, reason: str) -> PriorError:
    return PriorError(
        f"a prior's file must be whole, got {name!r} ({reason}); go back with: latent-agent "
        "prior rollback, or train again with: latent-agent consolidate"
    )


def _notes(content: bytes) -> dict[str, str]:
    """Return what a safetensors file, which has been read, says beside its tensors."""
    head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return head.get("__metadata__", {})


def _read_card(notes: Mapping[str, str]) -> PriorCard:
    card: dict[str, Any] = json.loads(notes[_KEY])
    if (version := card.pop("format")) != FORMAT:
        raise ValueError(f"its format is {version!r}, this program knows {FORMAT}")
    shape = PriorShape(**card.pop("shape"))
    return PriorCard(**card, shape=shape)


def _checksum(weights: Mapping[str, torch.Tensor], card: PriorCard) -> str:
    digest = hashlib.sha256(json.dumps(asdict(replace(card, checksum="")), sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(f"\0{name}\0{tuple(weights[name].shape)}\0".encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()

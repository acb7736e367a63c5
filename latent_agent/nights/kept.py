"""What a night has done so far, as a file from which the next one goes on.

It lies among the priors: safetensors, with all that is no tensor as JSON in one of them, behind a
checksum. It names what it was made from, and is of no use to a night that is made from other data.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from latent_agent.nights.job import NightJob
from latent_agent.nights.replay import Replay
from latent_agent.nights.retention import KEPT_FOR
from latent_memory.priors.priors import Source, active_prior

FORMAT = 1
_DIGEST = hashlib.sha256().digest_size
_NOTES = "notes"


@dataclass(kw_only=True)
class KeptNight:
    """What a night has done so far.

    Attributes:
        made_from: What it hangs on, from `made_from`.
        night: Its number.
        seed: Its seed.
        sources: The stretches of traces that it learns from, the shelf's own first.
        seconds: How long it has taken.
        figures: Of its report.
        course: Of the training, while it lasts: see `Course.state`.
        tensors: Likewise.
        version: The prior that it trained; None: none yet.
        replays: Of the gate, by question and contestant.
    """

    made_from: Mapping[str, Any]
    night: int
    seed: int
    sources: Sequence[Source]
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    course: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    version: int | None = None
    replays: dict[str, Replay] = field(default_factory=dict[str, Replay])

    def packed(self) -> bytes:
        """Return it as the content of a file."""
        # A copy, since replays come in from several threads.
        rows = {key: asdict(replay) for key, replay in self.replays.copy().items()}
        notes = {name: value for name, value in vars(self).items() if name != "tensors"}
        notes |= {"sources": [asdict(source) for source in self.sources], "replays": rows}
        text = json.dumps({"format": FORMAT, "written": time.time(), **notes}).encode()
        packed = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        body = save({**self.tensors, _NOTES: packed})
        return hashlib.sha256(body).digest() + body

    @classmethod
    def read(cls, content: bytes, wanted: Mapping[str, Any]) -> "KeptNight":
        """Read a file's content, for a night that is made from what is wanted.

        Raises:
            ValueError: If it cannot be used; says why.
        """
        body = content[_DIGEST:]
        if content[:_DIGEST] != hashlib.sha256(body).digest():
            raise ValueError("its file is cut off or damaged")
        try:
            return cls._of(load(body), wanted)
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"its file is of another kind ({error!r})") from error

    @classmethod
    def _of(cls, tensors: dict[str, torch.Tensor], wanted: Mapping[str, Any]) -> "KeptNight":
        notes: dict[str, Any] = json.loads(tensors.pop(_NOTES).numpy().tobytes())
        if notes.pop("format") != FORMAT:
            raise ValueError("another version of this program wrote it")
        if time.time() - notes.pop("written") > KEPT_FOR.total_seconds():
            raise ValueError(f"it is more than {KEPT_FOR.days} days old")
        found = notes["made_from"]
        if changed := [name for name in wanted if found.get(name) != wanted[name]]:
            raise ValueError(f"it was made from another {' and another '.join(changed)}")
        notes["sources"] = [Source(**source) for source in notes["sources"]]
        notes["replays"] = {key: Replay(**row) for key, row in notes["replays"].items()}
        return cls(tensors=tensors, **notes)


def made_from(job: NightJob) -> dict[str, Any]:
    """Return what a night hangs on beside its traces, as JSON has it."""
    champion = active_prior(job.database, job.shelf)
    anchors = json.dumps([asdict(anchor) for anchor in job.anchors])
    names = ("least", "hidden", "seed", "fit", "gate")
    settings = asdict(job.settings)
    hangs_on = {
        "model": job.shelf.fingerprint,
        "namespace": job.shelf.namespace,
        "reward": [job.shelf.reward, None if job.reward is None else job.reward.id],
        "share": list(job.share),
        "set of anchors": hashlib.sha256(anchors.encode()).hexdigest(),
        "set of night settings": {name: settings[name] for name in names},
        "search": asdict(job.search),
        "active prior": None if champion is None else champion.version,
    }
    return json.loads(json.dumps(hangs_on))

"""How far the training of a prior has come: where it can be left, and goes on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

import torch

from latent_agent.recall.prior_network import LatentPrior


@dataclass(kw_only=True)
class FitReport:
    """The outcome of training; losses are means over the traces for validation.

    Attributes:
        start: Loss before training.
        best: Least loss; the prior is left with the weights that had it.
        losses: Loss after each epoch.
        updates: Gradient steps taken.
    """

    start: float
    best: float
    losses: list[float] = field(default_factory=list[float])
    updates: int = 0

    @property
    def improved(self) -> bool:
        """Whether anything was learnt that holds for traces never trained on."""
        return self.best < self.start


class Course:
    """How far a training has come.

    Taken up again over the same traces, it ends with the weights that it would have had anyway.

    Args:
        prior: What is trained.
        adam: Changes its weights.
        seed: Of the order of the traces.
    """

    def __init__(self, prior: LatentPrior, adam: torch.optim.Optimizer, seed: int) -> None:
        self._prior, self.adam, self.rng = prior, adam, Random(seed)
        self.report: FitReport | None = None
        self.best = prior.weights()
        self._epoch: tuple[int, Any] = 0, self.rng.getstate()  # as they were at its beginning

    @property
    def running(self) -> FitReport:
        """The report, once training has begun."""
        assert self.report is not None
        return self.report

    @property
    def taken(self) -> int:
        """How many batches of this epoch were learnt from."""
        return self.running.updates - self._epoch[0]

    def begin(self, loss: float) -> None:
        """Note the loss before training."""
        self.report = FitReport(start=loss, best=loss)

    def end_epoch(self, loss: float) -> None:
        """Note the loss after an epoch, and the weights if they are the best so far."""
        self.running.losses.append(loss)
        if loss < self.running.best:
            self.running.best, self.best = loss, self._prior.weights()
        self._epoch = self.running.updates, self.rng.getstate()

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return all of it: tensors on the CPU, and the rest as JSON has it."""
        tensors = {f"now.{name}": weight for name, weight in self._prior.weights().items()}
        tensors |= {f"best.{name}": weight for name, weight in self.best.items()}
        for number, moments in self.adam.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"adam.{number}.{name}"] = value.detach().cpu().clone()
        updates, drawn = self._epoch
        notes = {"report": asdict(self.running), "updates": updates, "drawn": drawn}
        return tensors, {"shape": asdict(self._prior.shape), **notes}

    def take_up(self, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any]) -> bool:
        """Go on from a state, unless it is that of a network of other sizes; return whether."""
        if notes.get("shape") != asdict(self._prior.shape):
            return False
        parts: dict[str, dict[str, torch.Tensor]] = {"now": {}, "best": {}, "adam": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self._prior.load_state_dict(parts["best"])
        self.best = self._prior.weights()
        self._prior.load_state_dict(parts["now"])
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in parts["adam"].items():
            number, _, kind = name.partition(".")
            moments.setdefault(int(number), {})[kind] = value
        groups = self.adam.state_dict()["param_groups"]
        self.adam.load_state_dict({"state": moments, "param_groups": groups})
        version, numbers, gauss = notes["drawn"]
        self.rng.setstate((version, tuple(numbers), gauss))
        self._epoch = int(notes["updates"]), self.rng.getstate()
        self.report = FitReport(**notes["report"])
        return True

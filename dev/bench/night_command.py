"""``python -m dev.bench night``: what a night on so many traces takes here, in time and memory.

The traces are made up: their questions are of a few kinds, which the embedding shows, and the kind
decides the first winning tokens. There is no language model behind them, so nothing is replayed.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json
from latent_agent.cli.watching import watching
from latent_memory import LatentMemory, Shelf, Trace
from latent_memory.trace import Matrix

if TYPE_CHECKING:
    import torch

_SHELF = Shelf(namespace="bench", fingerprint="bench", reward="bench")
_KINDS = 8
_MOVED = 3  # first tokens that a kind decides
_BATCH = 200
_COMMON = 5.0  # what all embeddings share, beside what sets kinds apart


@dataclass(frozen=True, kw_only=True)
class _World:
    """A head of random rows, (vocabulary, d) float32, and traces for it, (N, d)."""

    head: Matrix
    traces: int
    latents: int
    seed: int

    @property
    def vocabulary(self) -> int:
        """How many tokens the head has."""
        return len(self.head)

    def logits(self, latents: "torch.Tensor", tokens: "torch.Tensor | None" = None) -> Any:
        """Turn latents (M, d) into logits, as a engine does."""
        import torch

        weight = torch.from_numpy(self.head)
        return torch.nn.functional.linear(latents, weight if tokens is None else weight[tokens])

    def make(self) -> Iterator[Trace]:
        """Yield the traces."""
        random = np.random.default_rng(self.seed)
        vocabulary, width = self.head.shape
        centres = random.standard_normal((_KINDS, width), dtype=np.float32)
        common = _COMMON * random.standard_normal(width, dtype=np.float32)
        turned = random.integers(vocabulary, size=(_KINDS, _MOVED))
        for number in range(self.traces):
            kind = number % _KINDS
            drafted = random.integers(vocabulary, size=self.latents)
            winners = np.concatenate([turned[kind], drafted[_MOVED:]])[: self.latents]
            around = random.standard_normal((self.latents, width), dtype=np.float32)
            base = (self.head[drafted] + 0.3 * around).astype(np.float32)
            noise = random.standard_normal(width, dtype=np.float32)
            yield Trace(
                shelf=_SHELF,
                query=f"Question {number}",
                answer=None,
                embedding=common + centres[kind] + noise,
                base=base,
                optimised=(base + 0.2 * (self.head[winners] - self.head[drafted])).astype(
                    np.float32
                ),
                tokens=tuple(winners.tolist()),
                score=-0.1,
                rewards=((-1.0,), (-0.1,)),
                steps=1,
                stopped="threshold",
            )


def night(
    traces: Annotated[int, typer.Option(help="How many traces.", min=100)] = 10_000,
    dimension: Annotated[int, typer.Option(help="Width of states (d).", min=2)] = 896,
    latents: Annotated[int, typer.Option(help="Latents of a trace (N).", min=1)] = 20,
    vocabulary: Annotated[int, typer.Option(help="Tokens of the LM head.", min=100)] = 32_000,
    seed: Annotated[int, typer.Option(help="Seed of traces and training.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Train a latent prior on made-up traces, measure it, and delete all of it."""
    random = np.random.default_rng(seed)
    head = random.standard_normal((vocabulary, dimension), dtype=np.float32)
    head /= np.sqrt(np.float32(dimension)) / 4
    world = _World(head=head, traces=traces, latents=latents, seed=seed)
    with tempfile.TemporaryDirectory(prefix="latent-agent-bench-") as folder:
        figures = measure(world, Path(folder))
    figures |= {"dimension": dimension, "latents": latents, "vocabulary": vocabulary}
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _show(figures)


def measure(world: _World, folder: Path) -> dict[str, Any]:
    """Fill a memory and train on it; return the figures."""
    import torch

    from latent_agent.nights.dataset import batches, survey
    from latent_agent.nights.training import FitSettings, fit
    from latent_agent.recall.prior_checkpoint import PriorCard, save_prior
    from latent_agent.recall.prior_network import LatentPrior
    from latent_memory.sqlite import Folder

    made = world.make()
    with LatentMemory(folder / "memory.sqlite3") as memory, watching() as report:
        for start in range(0, world.traces, _BATCH):
            memory.add_many(islice(made, _BATCH))
            report("making traces", min(start + _BATCH, world.traces), world.traces)

        def stream() -> Iterator[Any]:
            return memory.stream(_SHELF)

        began, worked = time.perf_counter(), time.process_time()
        found = survey(stream, world.vocabulary)
        loaded = time.perf_counter()
        shape, settings = found.shape(), FitSettings(seed=world.seed)
        prior = LatentPrior(shape, world.seed)
        prior.centre.copy_(torch.from_numpy(found.centre))
        total = settings.steps(found.trained)
        told = fit(
            prior, stream, world, settings, found.trained,
            lambda at: report("training", min(at, total), total),
        )  # fmt: skip
        card = PriorCard(
            version="1", namespace="bench", fingerprint="bench", reward="bench",
            first_trace=1, last_trace=world.traces, shape=shape,
        )  # fmt: skip
        save_prior(prior, card, Folder(folder), "1.safetensors")
        ended, worked = time.perf_counter(), time.process_time() - worked
        right = [
            (world.logits(prior(batch.embedding, batch.base)[:, :_MOVED].flatten(0, 1)).argmax(-1)
             == batch.tokens[:, :_MOVED].flatten()).float().mean()
            for batch in islice(
                batches(stream, shape, 16, vocabulary=world.vocabulary, part="validation"), 8
            )
        ]  # fmt: skip
    return {
        "traces": world.traces,
        "trained": found.trained,
        "held_out": found.held_out,
        "parameters": sum(weight.numel() for weight in prior.parameters()),
        "threads": torch.get_num_threads(),
        "load_seconds": loaded - began,
        "train_seconds": ended - loaded,
        "seconds": ended - began,
        "processor_seconds": worked,
        "updates": told.updates,
        "epochs": len(told.losses),
        "start_loss": told.start,
        "best_loss": told.best,
        "turned_tokens_right": float(torch.stack(right).mean()),
        "peak_bytes": _peak_bytes(),
    }


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _show(figures: dict[str, Any]) -> None:
    table = Table(show_header=False, title=f"A night on {figures['traces']:,} traces")
    table.add_column()
    table.add_column(justify="right")
    for name, text in (
        ("trained on, held out", f"{figures['trained']:,}, {figures['held_out']:,}"),
        ("parameters of the prior", f"{figures['parameters']:,}"),
        ("first reading", f"{figures['load_seconds']:.1f} s"),
        ("training", f"{figures['train_seconds']:.1f} s"),
        ("together", f"{figures['seconds']:.1f} s on {figures['threads']} threads"),
        ("of that, all threads' work", f"{figures['processor_seconds']:.1f} s"),
        ("gradient steps, epochs", f"{figures['updates']:,}, {figures['epochs']}"),
        ("held-out loss", f"{figures['start_loss']:.3f} -> {figures['best_loss']:.3f}"),
        ("turned tokens right, held out", f"{figures['turned_tokens_right']:.0%}"),
        ("peak memory, traces' making included", f"{figures['peak_bytes'] / 1e9:.2f} GB"),
    ):
        table.add_row(name, text)
    Console().print(table)

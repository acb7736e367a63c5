"""Train the bundled model from nothing: ``python -m latent_agent.teaching.train``.

Seeded and resumable: step ``t`` draws its examples from ``(seed, t)`` alone, and a checkpoint is
written every few hundred steps. Progress goes to stderr.
"""

import ctypes
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from latent_agent.teaching.batches import POOL, Encoder, pool_batches
from latent_agent.teaching.corpus import Candidate, draw_question
from latent_agent.teaching.harvest import harvest
from latent_agent.teaching.network import new_model, save_model
from latent_agent.teaching.tokenizer import build_tokenizer

HARVESTS = (0.35, 0.5, 0.65, 0.8)  # shares of the training after which the model is asked itself
HARVEST_SIZE = 6_000
CHECKPOINT_EVERY = 250

Body = Callable[..., Any]


def keep_freed_memory() -> None:
    """Let glibc keep what torch frees: the page faults otherwise cost four times the arithmetic."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def example_loss(
    model: LlamaForCausalLM, body: Body, ids: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Weighted cross-entropy, averaged per example: long replies drown no short one."""
    kept = weights[:, 1:] > 0
    with torch.autocast("cpu", torch.bfloat16):
        hidden = body(ids[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[kept]).float()
    losses = functional.cross_entropy(logits, ids[:, 1:][kept], reduction="none")
    return (losses * weights[:, 1:][kept]).sum() / len(ids)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up, then cosine down to 2% of the peak."""
    warm = min(1.0, (step + 1) / 300)
    return peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


class Run:
    """A training run that can be stopped at any time and goes on from its last checkpoint."""

    def __init__(self, folder: Path, seed: int, peak: float) -> None:
        """Start anew, or resume what ``folder`` holds."""
        self.folder, self.seed = folder, seed
        self.folder.mkdir(parents=True, exist_ok=True)
        if (folder / "tokenizer.json").exists():
            self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        else:
            self.tokenizer = build_tokenizer(seed)
            self.tokenizer.save_pretrained(folder)
        self.model = new_model(self.tokenizer, seed)
        # The fused kernel's backward pass in bfloat16 is slower on CPUs than the plain one.
        self.model.set_attn_implementation("eager")
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.05, fused=True
        )
        self.met: list[Candidate] = []
        self.step = 0
        if (folder / "state.safetensors").exists():
            self._load()

    def _slots(self) -> dict[str, torch.Tensor]:
        slots = dict(self.model.named_parameters())
        return {
            f"{name}/{slot}": value
            for name, parameter in slots.items()
            for slot, value in self.optimiser.state[parameter].items()
        }

    def save(self) -> None:
        """Write the checkpoint: a temporary file first, then one rename."""
        tensors = {f"model/{name}": value for name, value in self.model.named_parameters()}
        tensors |= self._slots()
        tensors["step"] = torch.tensor(self.step)
        waiting = self.folder / "state.tmp"
        save_file({name: value.detach().clone() for name, value in tensors.items()}, waiting)
        waiting.replace(self.folder / "state.safetensors")

    def _load(self) -> None:
        tensors = load_file(self.folder / "state.safetensors")
        self.step = int(tensors.pop("step"))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(tensors[f"model/{name}"])
                self.optimiser.state[parameter] = {
                    slot: tensors[f"{name}/{slot}"] for slot in ("step", "exp_avg", "exp_avg_sq")
                }

    def meet(self, mark: int) -> None:
        """Ask the model itself: what it answers at this mark joins what it did at the last one."""
        rng = Random(f"met-{self.seed}-{mark}")
        asked = [draw_question(rng, "train") for _ in range(HARVEST_SIZE)]
        kept = self.folder / f"answers-{mark}.json"
        if kept.exists():
            answers: list[str] = json.loads(kept.read_text("utf-8"))
        else:
            self.model.eval()
            answers = harvest(self.model, self.tokenizer, asked, mark)
            self.model.train()
            kept.write_text(json.dumps(answers), "utf-8")
        self.met = self.met[-HARVEST_SIZE:] + list(zip(asked, answers, strict=True))

    def update(self, body: Body, batch: tuple[torch.Tensor, ...], steps: int, peak: float) -> float:
        """Take one optimiser step and return the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, steps, peak)
        loss = example_loss(self.model, body, *batch)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return loss.item()

    def go(self, body: Body, steps: int, batch_size: int, peak: float) -> Iterator[float]:
        """Train to the end, yielding the loss of each step."""
        encoder = Encoder(self.tokenizer)
        marks = [int(share * steps) // POOL * POOL for share in HARVESTS]
        for mark in [mark for mark in marks if mark < self.step][-2:]:
            self.meet(mark)
        while self.step < steps:
            if self.step in marks:
                self.meet(self.step)
            pool = self.step // POOL
            for batch in pool_batches(encoder, self.seed, pool, batch_size, self.met):
                yield self.update(body, batch, steps, peak)
            if self.step % CHECKPOINT_EVERY < POOL:
                self.save()
        self.save()


app = typer.Typer(add_completion=False)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Where the finished model goes.")],
    run: Annotated[Path, typer.Option(help="Where checkpoints lie.")] = Path("runs/teaching"),
    seed: Annotated[int, typer.Option(help="Seed of weights, questions and order.")] = 0,
    steps: Annotated[int, typer.Option(help="Optimiser steps.", min=1)] = 16_000,
    batch_size: Annotated[int, typer.Option(help="Examples a step.", min=1)] = 64,
    peak: Annotated[float, typer.Option(help="Peak learning rate.", min=0.0)] = 2.5e-3,
    log: Annotated[bool, typer.Option(help="JSON lines instead of a progress bar.")] = False,
    compiled: Annotated[bool, typer.Option(help="Use torch.compile (needs a compiler).")] = False,
) -> None:
    """Train the bundled model; run the same command again to go on after a stop."""
    keep_freed_memory()
    state = Run(run, seed, peak)
    body = torch.compile(state.model.model, dynamic=True) if compiled else state.model.model
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), disable=log) as progress:
        task = progress.add_task("training", total=steps, completed=state.step)
        for loss in state.go(body, steps, batch_size, peak):
            progress.update(task, completed=state.step, description=f"loss {loss:.3f}")
            if log and state.step % 50 == 0:
                typer.echo(json.dumps({"step": state.step, "loss": round(loss, 4)}), err=True)
    save_model(state.model, state.tokenizer, out)
    typer.echo(f"wrote {out}", err=True)


if __name__ == "__main__":
    app()

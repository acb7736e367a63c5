"""Train the bundled model: ``python -m dev.bundled_model.train``.

Two stages: ``world`` starts from nothing and learns to solve and to judge; ``talks`` goes on from a
finished model and learns tool calls and talks of two turns beside it.

Seeded and resumable: step ``t`` draws its examples from ``(seed, t)`` alone, and a checkpoint is
written every few hundred steps. Progress goes to stderr.
"""

import ctypes
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import LlamaForCausalLM

from dev.bundled_model.batches import POOL, TALKS, WORLD, Encoder, Stage, pool_batches
from dev.bundled_model.examples import Candidate
from dev.bundled_model.harvest import harvest
from dev.bundled_model.network import load_weights, new_model, renew_unused, save_model
from dev.bundled_model.tokenizer import build_tokenizer, read_tokenizer
from latent_agent.teaching.corpus import draw_question

CHECKPOINT_EVERY = 250
STAGES = {"world": WORLD, "talks": TALKS}

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


def learning_rate(step: int, stage: Stage) -> float:
    """Linear warm-up, the peak for a while, then cosine down to 2% of it."""
    warm = min(1.0, (step + 1) / stage.warm_up)
    fallen = max(0.0, (step / stage.steps - stage.flat) / (1 - stage.flat))
    return stage.peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fallen)))


class Run:
    """A training run that can be stopped at any time and goes on from its last checkpoint."""

    def __init__(self, folder: Path, stage: Stage, seed: int, start: Path | None = None) -> None:
        """Start anew or from a finished model's folder, or resume what ``folder`` holds."""
        self.folder, self.stage, self.seed = folder, stage, seed
        self.folder.mkdir(parents=True, exist_ok=True)
        if start:
            self.tokenizer = read_tokenizer(start)
        elif (folder / "tokenizer.json").exists():
            self.tokenizer = read_tokenizer(folder)
        else:
            self.tokenizer = build_tokenizer(seed)
            self.tokenizer.save_pretrained(folder)
        self.model = new_model(self.tokenizer, seed)
        if start:
            load_weights(self.model, start)
            renew_unused(self.model, seed)
        # The fused kernel's backward pass in bfloat16 is slower on CPUs than the plain one.
        self.model.set_attn_implementation("eager")
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=stage.peak, betas=(0.9, 0.98), weight_decay=0.05, fused=True
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
        asked = [draw_question(rng, "train") for _ in range(self.stage.asked)]
        kept = self.folder / f"answers-{mark}.json"
        if kept.exists():
            answers: list[str] = json.loads(kept.read_text("utf-8"))
        else:
            self.model.eval()
            answers = harvest(self.model, self.tokenizer, asked, mark)
            self.model.train()
            kept.write_text(json.dumps(answers), "utf-8")
        self.met = self.met[-self.stage.asked :] + list(zip(asked, answers, strict=True))

    def update(self, body: Body, batch: tuple[torch.Tensor, ...]) -> float:
        """Take one optimiser step and return the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.stage)
        loss = example_loss(self.model, body, *batch)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return loss.item()

    def go(self, body: Body, batch_size: int) -> Iterator[float]:
        """Train to the end, yielding the loss of each step."""
        encoder, steps = Encoder(self.tokenizer), self.stage.steps
        marks = [int(share * steps) // POOL * POOL for share in self.stage.harvests]
        for mark in [mark for mark in marks if mark < self.step][-2:]:
            self.meet(mark)
        while self.step < steps:
            if self.step in marks:
                self.meet(self.step)
            pool = self.step // POOL
            for batch in pool_batches(encoder, self.stage, self.seed, pool, batch_size, self.met):
                yield self.update(body, batch)
            if self.step % CHECKPOINT_EVERY < POOL:
                self.save()
        self.save()


app = typer.Typer(add_completion=False)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Where the finished model goes.")],
    stage: Annotated[str, typer.Option(help="world or talks.")] = "world",
    start: Annotated[
        Path | None, typer.Option(help="With talks: folder of a finished model to go on from.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Where checkpoints lie; by default runs/STAGE.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, questions and order.")] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps; by default the stage's.", min=1)
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Examples a step.", min=1)] = 64,
    peak: Annotated[
        float | None, typer.Option(help="Peak learning rate; by default the stage's.", min=0.0)
    ] = None,
    log: Annotated[bool, typer.Option(help="JSON lines instead of a progress bar.")] = False,
    compiled: Annotated[bool, typer.Option(help="Use torch.compile (needs a compiler).")] = False,
) -> None:
    """Train the bundled model; run the same command again to go on after a stop."""
    keep_freed_memory()
    if stage not in STAGES:
        raise typer.BadParameter(f"--stage must be world or talks, got {stage!r}; choose one")
    if (stage == "talks") != (start is not None):
        raise typer.BadParameter(
            f"--start must come with --stage talks and only with it, got {start!r} with {stage!r}; "
            f"run --stage world first, then --stage talks --start ITS_OUT"
        )
    chosen = STAGES[stage]
    chosen = replace(chosen, steps=steps or chosen.steps, peak=peak or chosen.peak)
    state = Run(run or Path("runs") / stage, chosen, seed, start)
    body = torch.compile(state.model.model, dynamic=True) if compiled else state.model.model
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), disable=log) as progress:
        task = progress.add_task("training", total=chosen.steps, completed=state.step)
        for loss in state.go(body, batch_size):
            progress.update(task, completed=state.step, description=f"loss {loss:.3f}")
            if log and state.step % 50 == 0:
                typer.echo(json.dumps({"step": state.step, "loss": round(loss, 4)}), err=True)
    save_model(state.model, state.tokenizer, out)
    typer.echo(f"wrote {out}", err=True)


if __name__ == "__main__":
    app()

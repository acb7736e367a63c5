"""``python -m dev.bench batch``: questions answered together against one by one, in one run.

The model has random weights and no stop token, so every answer has its greatest length, the judge
accepts none, and every gradient step is taken: the work of a real model of that shape.
"""

import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json
from latent_agent.cli.watching import watching
from latent_agent.errors import SettingError

if TYPE_CHECKING:
    from latent_agent.chat.chat_model import ChatLatentSeek


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of the model: so many questions of so many tokens, and how they are answered.

    Attributes:
        questions: How many.
        prompt: Tokens of the shortest prompt; each next question is 3 tokens longer.
        tokens: Tokens of an answer.
        steps: Gradient steps of a call.
        verdict: Tokens of a judge's reply.
    """

    questions: int
    prompt: int
    tokens: int
    steps: int
    verdict: int


@dataclass(frozen=True, kw_only=True)
class _Run:
    seconds: float
    processor_seconds: float
    answers: Sequence[str]
    forwarded: int
    steps_that_changed: int


def batch(
    shape: Annotated[str, typer.Option(help="As of bench call: 20M, 100M, 0.5B, 1.5B.")] = "100M",
    rows: Annotated[
        list[int] | None, typer.Option(help="Calls at once; may be given more than once.", min=1)
    ] = None,
    questions: Annotated[int, typer.Option(help="How many questions.", min=1)] = 8,
    prompt: Annotated[int, typer.Option(help="Tokens of the shortest prompt.", min=1)] = 80,
    tokens: Annotated[int, typer.Option(help="Tokens of an answer.", min=2)] = 64,
    steps: Annotated[int, typer.Option(help="Gradient steps of a call (K).", min=0)] = 2,
    verdict: Annotated[int, typer.Option(help="Tokens of a judge's reply.", min=1)] = 8,
    repeats: Annotated[int, typer.Option(help="How often all is measured, in turn.", min=1)] = 3,
    dtype: Annotated[str, typer.Option(help="Name of a torch dtype.")] = "float32",
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Answer made-up questions together and one by one, and compare."""
    load = Load(questions=questions, prompt=prompt, tokens=tokens, steps=steps, verdict=verdict)
    widths = sorted({1, *(rows or (2, 4, 8))})
    if max(widths) > questions:
        raise SettingError(
            f"--rows must not be above --questions, got {max(widths)!r} and {questions!r}; give "
            f"--questions {max(widths)}"
        )
    figures = measure(shape, load, widths, repeats, dtype=dtype, device=device)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _show(figures)


def measure(
    shape: str,
    load: Load,
    widths: Sequence[int],
    repeats: int,
    *,
    dtype: str = "float32",
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure each width ``repeats`` times, in turn, and return the figures."""
    import torch

    from dev.bench.shapes import made_up_words

    chat = _chat(shape, load, dtype, device)
    words = made_up_words(500)
    asked = [
        " ".join(Random(number).choices(words, k=load.prompt + 3 * number))
        for number in range(load.questions)
    ]
    chat.invoke(asked[0], max_iterations=0, max_tokens=2)  # reads the model in
    runs: dict[int, list[_Run]] = {width: [] for width in widths}
    with watching() as report:
        for repeat in range(repeats):
            for place, width in enumerate(widths):
                runs[width].append(_answer(chat, asked, width))
                report("measuring", repeat * len(widths) + place + 1, repeats * len(widths))
    return {
        "shape": shape,
        "parameters": sum(weight.numel() for weight in chat.model.parameters()),
        "vocabulary": chat.model.config.vocab_size,
        "dtype": dtype,
        "device": device,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "questions": load.questions,
        "prompt_tokens": [load.prompt, load.prompt + 3 * (load.questions - 1)],
        "answer_tokens": load.tokens,
        "verdict_tokens": load.verdict,
        "steps": load.steps,
        "steps_that_changed": runs[widths[0]][0].steps_that_changed,
        "repeats": repeats,
        "rows": [_figures(width, runs) for width in widths],
    }


def _chat(shape: str, load: Load, dtype: str, device: str) -> "ChatLatentSeek":
    from dev.bench.shapes import shaped_config, shaped_model, word_tokenizer
    from latent_agent import ChatLatentSeek, SelfReward

    config = shaped_config(shape)
    return ChatLatentSeek(
        model=shaped_model(config, dtype, device),
        tokenizer=word_tokenizer(config.vocab_size),
        recipe="latentseek",
        reward=SelfReward(max_tokens=load.verdict),
        memory=None,
        max_tokens=load.tokens,
        max_iterations=load.steps,
        learning_rate=1.0,  # so large that every step changes the prefix
    )


def _answer(chat: "ChatLatentSeek", asked: Sequence[str], width: int) -> _Run:
    events: Counter[str] = Counter()

    def count(event: str, _: Mapping[str, Any]) -> None:
        events[event] += 1

    began, worked = time.perf_counter(), time.process_time()
    messages = chat.batch(list(asked), {"max_concurrency": width}, on_progress=count)
    seconds, spent = time.perf_counter() - began, time.process_time() - worked
    told = [message.response_metadata["latent_agent"] for message in messages]
    return _Run(
        seconds=seconds,
        processor_seconds=spent,
        answers=[message.text for message in messages],
        forwarded=sum(sum(call["forwarded_tokens"].values()) for call in told),
        # An answer that is already known is not judged again.
        steps_that_changed=events["verdict"] - len(asked),
    )


def _figures(width: int, runs: Mapping[int, Sequence[_Run]]) -> dict[str, Any]:
    single, these = runs[1], runs[width]
    seconds = [run.seconds for run in these]
    ratios = [one.seconds / run.seconds for one, run in zip(single, these, strict=True)]
    saved = [
        one.processor_seconds / run.processor_seconds
        for one, run in zip(single, these, strict=True)
    ]
    return {
        "rows": width,
        "seconds": statistics.median(seconds),
        "seconds_range": [min(seconds), max(seconds)],
        "throughput": statistics.median(ratios),
        "throughput_range": [min(ratios), max(ratios)],
        # Of a busy machine the processor time knows less than the clock.
        "processor_seconds": statistics.median(run.processor_seconds for run in these),
        "processor_ratio": statistics.median(saved),
        "forwarded_tokens": these[0].forwarded,
        "same_answers": all(run.answers == single[0].answers for run in these),
        "same_bill": all(run.forwarded == single[0].forwarded for run in these),
    }


def _show(figures: dict[str, Any]) -> None:
    table = Table(title=f"{figures['questions']} questions, {figures['shape']} shape")
    for name in ("at once", "seconds", "range", "throughput", "range", "processor", "same"):
        table.add_column(name, justify="right")
    for row in figures["rows"]:
        table.add_row(
            str(row["rows"]),
            f"{row['seconds']:.1f}",
            "-".join(f"{value:.1f}" for value in row["seconds_range"]),
            f"{row['throughput']:.2f}x",
            "-".join(f"{value:.2f}" for value in row["throughput_range"]),
            f"{row['processor_ratio']:.2f}x",
            "yes" if row["same_answers"] else "no",
        )
    console = Console()
    console.print(table)
    shortest, longest = figures["prompt_tokens"]
    console.print(
        f"{figures['parameters'] / 1e6:.0f}M parameters, vocabulary {figures['vocabulary']:,}, "
        f"{figures['dtype']} on {figures['device']}, {figures['threads']} threads; prompts of "
        f"{shortest} to {longest} tokens, answers of {figures['answer_tokens']}, four checks of "
        f"{figures['verdict_tokens']}, {figures['steps']} steps a call "
        f"({figures['steps_that_changed']} in all changed the answer); median and range of "
        f"{figures['repeats']} repeats in turn. Processor: the same ratio in processor time, "
        "which a busy machine leaves alone. Same: the answers of one by one."
    )

"""``python -m dev.bench call``: what one call costs, against the plain method and the floor."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json
from latent_agent.cli.watching import watching
from latent_agent.errors import SettingError

if TYPE_CHECKING:
    from dev.bench.plan import Plan

PART_NAMES = ("reference", "ours", "floor", "warm", "generate")


def call(
    shape: Annotated[
        str | None, typer.Option(help="Random weights: tiny, 20M, 100M, 0.5B or 1.5B.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A real model as it comes, in place of --shape.")
    ] = None,
    parts: Annotated[
        str, typer.Option(help="What to measure, with commas; 'reference' takes long.")
    ] = ",".join(PART_NAMES),
    answer_tokens: Annotated[int, typer.Option(help="Tokens of an answer (T).", min=1)] = 256,
    prompt_tokens: Annotated[int, typer.Option(help="Tokens of a shape's prompt.", min=3)] = 80,
    judge_tokens: Annotated[int, typer.Option(help="Longest reply to a check.", min=1)] = 8,
    prefix_tokens: Annotated[
        int | None, typer.Option(help="Optimised latents (N); by default a fifth of T.", min=1)
    ] = None,
    iterations: Annotated[int, typer.Option(help="Gradient steps (K).", min=1)] = 5,
    vocabulary: Annotated[
        int | None, typer.Option(help="Words of a shape; by default 32,000, or 151,936 from 0.5B.")
    ] = None,
    verdict: Annotated[str, typer.Option(help="generate or logits.")] = "generate",
    recipe: Annotated[str, typer.Option(help="Of a real model's calls.")] = "default",
    questions: Annotated[int, typer.Option(help="Put to a real model.", min=1)] = 10,
    repeats: Annotated[int, typer.Option(help="Runs of each part, in turn.", min=1)] = 3,
    threads: Annotated[
        int | None, typer.Option(help="Torch's threads; by default its own choice.", min=1)
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="Name of a torch dtype.")] = None,
    device: Annotated[str | None, typer.Option(help="Torch device.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights and questions.", min=0)] = 0,
    sweep: Annotated[
        Path | None, typer.Option(help="Cost against T and K instead, also as this PNG.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure one call beside the plain method and the floor, in turn, in one run.

    reference: LatentSeek as published, without a cache. ours: this product. floor: the model's own
    cached greedy generate for what must be read or written once. warm: a call whose question is
    remembered, accepted at once by a verdict from logits. generate: one plain answer.

    With --shape all lengths are forced, nothing is accepted, and each step changes the prefix.
    """
    from dev.bench.plan import Plan

    if shape is not None and model is not None:
        raise SettingError(f"give --shape or --model, got {shape!r} and {model!r}; leave one out")
    if verdict not in ("generate", "logits"):
        raise SettingError(f"--verdict must be generate or logits, got {verdict!r}; choose one")
    forced = shape is not None or model is None
    plan = Plan(
        shape=shape or "20M" if forced else None,
        model=model,
        vocabulary=vocabulary,
        questions=questions,
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        judge_tokens=judge_tokens,
        prefix_tokens=prefix_tokens,
        iterations=iterations,
        recipe="latentseek" if forced else recipe,
        verdict=verdict,
        dtype=dtype,
        device=device,
        threads=threads,
        seed=seed,
    )
    swept = sweep is not None
    found = _swept(plan, sweep, as_json=as_json) if swept else _compared(plan, parts, repeats)
    if as_json:
        typer.echo(json.dumps(found))
    elif sweep is None:
        _show(found)
    else:
        _show_sweep(found)
        typer.echo(f"wrote {sweep}")


def _compared(plan: "Plan", parts: str, repeats: int) -> dict[str, Any]:
    from dev.bench.compare import compare

    chosen = tuple(part.strip() for part in parts.split(","))
    if unknown := [part for part in chosen if part not in PART_NAMES]:
        raise SettingError(
            f"--parts must name some of {', '.join(PART_NAMES)}, got {unknown[0]!r}; separate "
            "them with commas"
        )
    with watching() as report:
        return compare(plan, chosen, repeats, report)


def _swept(plan: "Plan", picture: Path, *, as_json: bool) -> dict[str, Any]:
    from dev.bench.pictures import can_draw, draw_sweep, require_drawing
    from dev.bench.sweep import sweep

    if not as_json:
        require_drawing("--sweep", "add --json, which does without the picture")
    with watching() as report:
        found = sweep(plan, report)
    if can_draw():
        draw_sweep(found, picture)
    return found


def _show_sweep(found: dict[str, Any]) -> None:
    console = Console()
    table = Table("T", "K")
    for column in ("seconds", "cpu s", "forwarded", "ms a token", "attention"):
        table.add_column(column, justify="right")
    for point in [*found["by_length"], *found["by_steps"]]:
        table.add_row(
            str(point["answer_tokens"]),
            str(point["iterations"]),
            f"{point['seconds']:,.2f}",
            f"{point['cpu_seconds']:,.2f}",
            f"{point['forwarded_tokens']:,}",
            f"{1000 * point['cpu_seconds'] / point['forwarded_tokens']:.2f}",
            f"{100 * point['attention_share']:.0f}%",
        )
    console.print(table)
    for by in ("length", "steps"):
        line = found[f"line_by_{by}"]
        console.print(
            f"by {by}: {line['ms_per_token']:.2f} ms a forwarded token, at most "
            f"{100 * line['farthest']:.1f}% off a straight line;\na token more costs "
            f"{line['late_over_early']:.2f} times as much at the far end as at the near one; "
            f"exponent {found[f'exponent_by_{by}']:.2f}"
        )


def _show(found: dict[str, Any]) -> None:
    console = Console()
    console.print(_heading(found))
    table = Table("part")
    for column in ("seconds", "least-most", "cpu s", "forwarded tokens", "peak MB"):
        table.add_column(column, justify="right")
    for name, part in found["parts"].items():
        seconds = part["seconds"]
        table.add_row(
            name,
            f"{seconds['median']:,.2f}",
            f"{seconds['least']:,.2f}-{seconds['most']:,.2f}",
            f"{part['cpu_seconds']['median']:,.2f}",
            f"{part['forwarded_tokens']:,}",
            f"{part['peak_bytes'] / 1e6:,.0f}",
        )
    console.print(table)
    if found["ratios"]:
        console.print(_ratios(found["ratios"]))
    if found["same_answers"] is not None:
        agree = "the same answers" if found["same_answers"] else "DIFFERENT answers"
        console.print(f"reference and ours gave {agree}")


def _heading(found: dict[str, Any]) -> str:
    name = f"shape {found['shape']}" if found["shape"] else f"model {found['model']}"
    text = (
        f"{name}: {found['parameters'] / 1e6:,.1f}M parameters, vocabulary "
        f"{found['vocabulary']:,}, {found['device']}, {found['threads']} threads\n"
    )
    if found["answer_tokens"] is None:
        return text
    return text + (
        f"prompt {found['prompt_tokens']:.0f} tokens, answer {found['answer_tokens']:.0f}, N "
        f"{found['prefix_tokens']:.0f}; a call took {found['steps']:.1f} steps, "
        f"{found['changed']:.1f} changed the prefix"
    )


def _ratios(ratios: dict[str, Any]) -> Table:
    table = Table("ratio")
    for column in ("seconds", "least-most", "cpu s", "forwarded", "peak"):
        table.add_column(column, justify="right")
    for name, ratio in ratios.items():
        seconds = ratio["seconds"]
        table.add_row(
            name,
            f"{seconds['median']:.2f}",
            f"{seconds['least']:.2f}-{seconds['most']:.2f}",
            f"{ratio['cpu_seconds']['median']:.2f}",
            f"{ratio['forwarded_tokens']:.2f}",
            f"{ratio['peak_bytes']:.2f}",
        )
    return table

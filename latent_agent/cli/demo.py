"""``latent-agent demo``: held-out questions of the teaching world, draft beside final answer."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from latent_agent.cli.options import Json, MaxIterations, Model, Recipe, built_in_reward
from latent_agent.errors import SettingError

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question answered."""

    question: str
    family: str
    draft: str
    final: str
    draft_right: bool
    final_right: bool
    rewards: Sequence[float]
    steps: int
    forwarded: dict[str, int]


def demo(
    model: Model = "bundled",
    questions: Annotated[int, typer.Option(help="How many questions.", min=1)] = 56,
    split: Annotated[
        str, typer.Option(help="train, validation, test, or unseen (kept out of training).")
    ] = "test",
    seed: Annotated[int, typer.Option(help="Which questions are drawn.", min=0)] = 0,
    recipe: Recipe = "default",
    max_iterations: MaxIterations = None,
    reward: Annotated[
        str, typer.Option(help="'self', 'psrm' (the known truth) or module:attribute.")
    ] = "self",
    as_json: Json = False,
) -> None:
    """Answer held-out questions: draft, judge, search, answer.

    The bundled model is a teaching world: it shows the machinery and proves nothing about the
    method on real models.
    """
    rows: list[Row] = []
    bar = Progress(
        "[progress.description]{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    task = bar.add_task("answering", total=questions)
    console = Console(stderr=as_json)
    with Live(bar, console=console, refresh_per_second=4, transient=as_json) as live:
        for row in _answers(model, questions, split, seed, recipe, max_iterations, reward):
            rows.append(row)
            bar.advance(task)
            live.update(bar if as_json else Group(_table(rows[-_SHOWN:]), bar))
    summary = summarise(rows)
    if as_json:
        inputs = {"model": model, "split": split, "seed": seed, "recipe": recipe, "reward": reward}
        typer.echo(json.dumps({**summary, **inputs}))
    else:
        _show(console, summary)


def _answers(
    model: str,
    count: int,
    split: str,
    seed: int,
    recipe: str,
    max_iterations: int | None,
    reward: str,
) -> Iterator[Row]:
    from latent_agent.chat_model import ChatLatentSeek
    from latent_agent.reward import ExactMatch
    from latent_agent.teaching import is_right, questions
    from latent_agent.teaching.world import final_answer

    try:
        asked = questions(split=split, n=count, seed=seed)
    except ValueError as error:
        raise SettingError(str(error)) from error
    if reward == "psrm":
        scores: Any = ExactMatch({question.text: question.truth for question in asked})
    else:
        scores = built_in_reward(reward)
    chat = ChatLatentSeek(model=model, recipe=recipe, max_iterations=max_iterations, reward=scores)
    for question in asked:
        message = chat.invoke(question.text)
        trace = message.response_metadata["latent_agent"]
        yield Row(
            question=question.text,
            family=question.family + ("*" if question.planted else ""),
            draft=final_answer(trace["draft"]) or "none",
            final=final_answer(message.text) or "none",
            draft_right=is_right(question, trace["draft"]),
            final_right=is_right(question, message.text),
            rewards=trace["rewards"],
            steps=trace["iterations"],
            forwarded=trace["forwarded_tokens"],
        )


def _share(rights: Sequence[bool]) -> float:
    return sum(rights) / len(rights)


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "questions": len(rows),
        "draft_accuracy": _share([row.draft_right for row in rows]),
        "final_accuracy": _share([row.final_right for row in rows]),
        "mean_steps": sum(row.steps for row in rows) / len(rows),
    }


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Sum the rows up, over all and by family."""
    families = list(dict.fromkeys(row.family for row in rows))
    stages = rows[0].forwarded
    return {
        **_figures(rows),
        "forwarded_tokens": {stage: sum(row.forwarded[stage] for row in rows) for stage in stages},
        "families": {
            family: _figures([row for row in rows if row.family == family]) for family in families
        },
    }


def _table(rows: Sequence[Row]) -> Table:
    table = Table(expand=False, show_lines=True)
    table.add_column("Question", width=36)
    for name in ("Draft", "Final", "Reward", "Steps"):
        table.add_column(name, justify="right", overflow="fold")
    for row in rows:
        table.add_row(
            row.question,
            _mark(row.draft, row.draft_right),
            _mark(row.final, row.final_right),
            " ".join(f"{value:.2f}" for value in dict.fromkeys(row.rewards)),
            str(row.steps),
        )
    return table


def _mark(answer: str, right: bool) -> str:
    return f"[green]{answer} ✓[/green]" if right else f"[red]{answer} ✗[/red]"


def _show(console: Console, summary: dict[str, Any]) -> None:
    table = Table(caption="* holds planted habits")
    table.add_column("Family")
    for name in ("Questions", "Draft right", "Final right", "Mean steps"):
        table.add_column(name, justify="right")
    for family, figures in [*summary["families"].items(), ("all", summary)]:
        table.add_row(
            family,
            str(figures["questions"]),
            f"{figures['draft_accuracy']:.0%}",
            f"{figures['final_accuracy']:.0%}",
            f"{figures['mean_steps']:.1f}",
        )
    console.print(table)
    bill = summary["forwarded_tokens"]
    total, count = sum(bill.values()), summary["questions"]
    parts = ", ".join(f"{tokens / count:.0f} {stage}" for stage, tokens in bill.items())
    console.print(f"Forwarded tokens: {total:,}; a question: {total / count:.0f} ({parts}).")
    console.print(
        "This is a teaching world: it shows the machinery, and says nothing of real models."
    )

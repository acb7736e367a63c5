"""``latent-agent demo``: held-out questions of the teaching world, draft beside final answer."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import Json, MaxIterations, Model, Recipe, built_in_reward
from latent_agent.model.options import LoadOptions
from latent_agent.server.memory_page.texts import rewards_text

if TYPE_CHECKING:
    from latent_agent.cli.rows import Row

_SHOWN = 6
_NOTE = "This is a teaching world: it shows the machinery, and says nothing of real models."


@opens_model
def demo(
    model: Model = "bundled",
    questions: Annotated[
        int | None,
        typer.Option(help="By default 56; with --memory 525, --night 410, --days 60 a day."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="train, validation, test; unseen, reworded (kept out of training).")
    ] = "test",
    seed: Annotated[int, typer.Option(help="Which questions are drawn.", min=0)] = 0,
    recipe: Recipe = "default",
    max_iterations: MaxIterations = None,
    reward: Annotated[
        str, typer.Option(help="A built-in's name, 'psrm' (the known truth) or module:attribute.")
    ] = "self",
    memory: Annotated[
        bool,
        typer.Option("--memory", help="A stream of questions, with a fresh memory and without."),
    ] = False,
    night: Annotated[
        bool, typer.Option("--night", help="A day of 200 questions, a night, and the next day.")
    ] = False,
    days: Annotated[
        int, typer.Option(help="How many days and nights in a row, of drifting questions.", min=0)
    ] = 0,
    misjudge: Annotated[
        float, typer.Option(help="With --days: share of answers misjudged.", min=0, max=1)
    ] = 0.0,
    opened: LoadOptions = USUAL,
    as_json: Json = False,
) -> None:
    """Answer held-out questions: draft, judge, search, answer.

    The bundled model is a teaching world: it shows the machinery and proves nothing about the
    method on real models.
    """
    from latent_agent.chat.chat_model import ChatLatentSeek
    from latent_agent.cli.days_demo import Days, days_in_a_row
    from latent_agent.cli.night_demo import day_night_day
    from latent_agent.cli.rows import draw, scores_for
    from latent_agent.cli.stream import stream

    plan = Days(days=days, each=questions or 60)
    usual = 410 if night else 525 if memory else 56
    asked = draw(split, plan.needed if days else questions or usual, seed)
    scores = scores_for(reward if reward == "psrm" else built_in_reward(reward), asked)
    chat = ChatLatentSeek(
        model=model, recipe=recipe, max_iterations=max_iterations, reward=scores, memory=None,
        **opened.given,
    )  # fmt: skip
    console = Console(stderr=as_json)
    if days:
        summary = days_in_a_row(chat, asked, plan, misjudge, console)
    elif night:
        summary = day_night_day(chat, asked, seed, console)
    elif memory:
        summary = stream(chat, asked, console)
    else:
        summary = _answer(chat, asked, console, as_json)
    if as_json:
        inputs = {"model": model, "split": split, "seed": seed, "recipe": recipe, "reward": reward}
        typer.echo(json.dumps({**summary, **inputs}))
    else:
        console.print(_NOTE)


def _answer(chat: Any, asked: Sequence[Any], console: Console, as_json: bool) -> dict[str, Any]:
    from latent_agent.cli.rows import answer, by_family, figures

    rows: list[Row] = []
    bar = Progress(
        "[progress.description]{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    task = bar.add_task("answering", total=len(asked))
    with Live(bar, console=console, refresh_per_second=4, transient=as_json) as live:
        for question in asked:
            rows.append(answer(chat, question))
            bar.advance(task)
            live.update(bar if as_json else Group(_table(rows[-_SHOWN:]), bar))
    summary = {
        **figures(rows),
        "forwarded_tokens": {
            stage: sum(row.forwarded[stage] for row in rows)
            for stage in ("draft", "refine", "judge")
        },
        "families": by_family([(row,) for row in rows], lambda some: figures([r for (r,) in some])),
    }
    if not as_json:
        if not console.is_terminal:  # where the bar's line is left open
            console.print()
        _show(console, summary, {row.family for row in rows if row.planted})
    return summary


def _table(rows: Sequence["Row"]) -> Table:
    table = Table(expand=False, show_lines=True)
    table.add_column("Question", width=36)
    for name in ("Draft", "Final", "Reward", "Steps"):
        table.add_column(name, justify="right", overflow="fold")
    for row in rows:
        table.add_row(
            row.question,
            _mark(row.draft or "none", row.draft_right),
            _mark(row.final, row.final_right),
            " ".join(dict.fromkeys(map(rewards_text, row.rewards))),
            str(row.steps),
        )
    return table


def _mark(answer: str, right: bool) -> str:
    return f"[green]{answer} ✓[/green]" if right else f"[red]{answer} ✗[/red]"


def _show(console: Console, summary: dict[str, Any], planted: set[str]) -> None:
    from latent_agent.cli.rows import table_of

    names = ("Family", "Questions", "Draft right", "Final right", "Mean steps")
    table = table_of(*names, caption="* holds planted habits")
    for family, figures in [*summary["families"].items(), ("all", summary)]:
        table.add_row(
            family + "*" * (family in planted),
            str(figures["questions"]),
            f"{figures['draft_accuracy']:.0%}",
            f"{figures['final_accuracy']:.0%}",
            f"{figures['mean_steps']:.1f}",
        )
    console.print(table)
    spent = summary["forwarded_tokens"]
    total, count = sum(spent.values()), summary["questions"]
    parts = ", ".join(f"{tokens / count:.0f} {stage}" for stage, tokens in spent.items())
    console.print(f"Forwarded tokens: {total:,}; a question: {total / count:.0f} ({parts}).")

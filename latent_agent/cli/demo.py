"""``latent-agent demo``: the teaching world's questions, or one's own, draft beside answer."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import Json, MaxIterations, Model, Recipe, built_in_reward
from latent_agent.errors import SettingError
from latent_agent.model.options import LoadOptions

if TYPE_CHECKING:
    from latent_agent.cli.rows import Row

_NOTE = "This is a teaching world: it shows the machinery, and says nothing of real models."
_OWN_NOTE = (
    "So few questions show what happens, not whether it helps: latent-agent evaluate --data FILE "
    "compares with simpler methods."
)
_OWN = 20  # questions of a file, unless more are asked for


@opens_model
def demo(
    model: Model = "bundled",
    data: Annotated[
        str | None,
        typer.Option(
            help="Your own questions: a JSON Lines file with question and answer, or a layout "
            "that evaluate knows."
        ),
    ] = None,
    questions: Annotated[
        int | None,
        typer.Option(
            help="How many. By default 56; with --data 20, --memory 525, --night 410, --days 60 a "
            "day.",
            min=1,
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="Of the teaching world: train, validation, test; unseen, reworded (kept out of "
            "training)."
        ),
    ] = "test",
    seed: Annotated[int, typer.Option(help="Which questions are drawn.", min=0)] = 0,
    recipe: Recipe = "default",
    max_iterations: MaxIterations = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest answer; by default the recipe's.", min=1)
    ] = None,
    reward: Annotated[
        str,
        typer.Option(
            help="self, agreement, equations, others of the docs; psrm, which knows the answers; "
            "or module:attribute."
        ),
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
    """Show how questions are answered: draft, judgement, search, final answer.

    Without --data it asks held-out questions of the bundled model's teaching world, which shows the
    machinery and proves nothing about real models. With --model and --data it asks your model your
    own questions. Nothing is stored.
    """
    from latent_agent.chat.chat_model import ChatLatentSeek
    from latent_agent.cli.days_demo import Days, days_in_a_row
    from latent_agent.cli.night_demo import day_night_day
    from latent_agent.cli.rows import answer, draw, scores_for
    from latent_agent.cli.stream import stream

    if data is not None and (memory or night or days):
        raise SettingError(
            "--data must come without --memory, --night and --days, which draw questions of the "
            "teaching world; leave them out"
        )
    plan = Days(days=days, each=questions or 60)
    usual = 410 if night else 525 if memory else 56
    if data:
        asked, scores, ask = _own_questions(data, questions, reward)
    else:
        asked = draw(split, plan.needed if days else questions or usual, seed)
        scores = scores_for(reward if reward == "psrm" else built_in_reward(reward), asked)
        ask = answer
    longest = {} if max_tokens is None else {"max_tokens": max_tokens}
    chat = ChatLatentSeek(
        model=model, recipe=recipe, max_iterations=max_iterations, reward=scores, memory=None,
        **longest, **opened.given,
    )  # fmt: skip
    console = Console(stderr=as_json)
    if days:
        summary = days_in_a_row(chat, asked, plan, misjudge, console)
    elif night:
        summary = day_night_day(chat, asked, seed, console)
    elif memory:
        summary = stream(chat, asked, console)
    else:
        summary = _answer([partial(ask, chat, one) for one in asked], console, as_json)
    if as_json:
        inputs = {"model": model, "split": split, "seed": seed, "recipe": recipe, "reward": reward}
        typer.echo(json.dumps({**summary, **inputs, **({"data": data} if data else {})}))
    else:
        console.print(_OWN_NOTE if data else _NOTE, highlight=False)


def _own_questions(data: str, count: int | None, reward: str) -> tuple[Any, Any, Any]:
    """Return the questions of a file, the reward, and how one of them is asked."""
    from latent_agent.cli.rows import answered
    from latent_agent.evaluation.checking import FITTING
    from latent_agent.evaluation.items import Item, load_items

    items = load_items(data, count or _OWN)
    by_text = {item.question: item for item in items}

    def known(question: str, answer: str) -> float:
        return 0.0 if FITTING.is_right(by_text[question], answer) else -1.0

    def ask(chat: Any, item: Item) -> "Row":
        right, final = partial(FITTING.is_right, item), partial(FITTING.final, item)
        return answered(chat, item.question, right, final, family=item.family)

    return items, known if reward == "psrm" else built_in_reward(reward), ask


def _answer(asks: Sequence[Callable[[], "Row"]], console: Console, as_json: bool) -> dict[str, Any]:
    from latent_agent.cli.demo_table import last_rows, show_sums
    from latent_agent.cli.rows import by_family, figures

    rows: list[Row] = []
    bar = Progress(
        "[progress.description]{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    task = bar.add_task("answering", total=len(asks))
    with Live(bar, console=console, refresh_per_second=4, transient=as_json) as live:
        for ask in asks:
            rows.append(ask())
            bar.advance(task)
            live.update(bar if as_json else Group(last_rows(rows), bar))
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
        show_sums(console, summary, rows)
    return summary

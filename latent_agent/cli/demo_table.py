"""What a demo shows: its last questions while it runs, and sums in the end."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from latent_agent.cli.rows import Rows, table_of
from latent_agent.server.memory_page.texts import clean, rewards_text

_SHOWN = 6


def last_rows(rows: Rows) -> Table:
    """Return the newest questions, a line each."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    table.add_column("Question", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in ("Draft", "Final"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=14, justify="right")
    for name in ("Reward", "Steps"):
        table.add_column(name, no_wrap=True, justify="right")
    for row in rows[-_SHOWN:]:
        table.add_row(
            Text(" ".join(clean(row.question).split())),
            _mark(row.draft or "none", row.draft_right),
            _mark(row.final, row.final_right),
            rewards_text(row.rewards[-1]) if row.rewards else "",
            str(row.steps),
        )
    return table


def _mark(answer: str, right: bool) -> Text:
    # The mark comes first: a long answer is cut, and its mark is not.
    said = " ".join(clean(answer).split())
    return Text(f"{'✓' if right else '✗'} {said}", style="green" if right else "red")


def show_sums(console: Console, summary: dict[str, Any], rows: Rows) -> None:
    """Print how many answers are right, by family where there are several, and what it cost."""
    planted = {row.family for row in rows if row.planted}
    families: dict[str, Any] = summary["families"] if len(summary["families"]) > 1 else {}
    note = {"caption": "* was taught a habit that is wrong"} if planted else {}
    names = ("Family", "Questions", "Draft right", "Final right", "Mean steps")
    table = table_of(*names, box=box.SIMPLE_HEAD, pad_edge=False, **note)
    for family, figures in [*families.items(), ("all", summary)]:
        table.add_row(
            family + "*" * (family in planted),
            str(figures["questions"]),
            f"{figures['draft_accuracy']:.0%}",
            f"{figures['final_accuracy']:.0%}",
            f"{figures['mean_steps']:.1f}",
        )
    console.print(table)
    spent = summary["forwarded_tokens"]
    parts = ", ".join(f"{tokens / len(rows):.0f} {stage}" for stage, tokens in spent.items())
    console.print(f"Forwarded tokens a question: {sum(spent.values()) / len(rows):.0f} ({parts}).")
    console.print(_changes(rows))


def _changes(rows: Rows) -> str:
    fixed = sum(row.final_right and not row.draft_right for row in rows)
    broken = sum(row.draft_right and not row.final_right for row in rows)
    return f"Drafts that were wrong and became right: {fixed}; right and became wrong: {broken}."

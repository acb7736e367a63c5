"""One trace as a person wants to see it: draft beside answer, and the way from one to the other."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from latent_agent.call.stored_call import call_of
from latent_agent.model.conversation import transcript
from latent_agent.server.memory_page.rounds import rounds
from latent_agent.server.memory_page.texts import clean, rewards_text
from latent_memory import GivenFeedback, StoredTrace, Trace
from latent_memory.feedback.values import effective

if TYPE_CHECKING:
    from latent_agent.call.redraft import Redraft

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_BAR = 24  # cells of a reward of 0
_MOST = 24  # rewards shown
_GONE, _NEW = "bold red", "bold green"


def draw(
    stored: StoredTrace,
    neighbours: Sequence[tuple[int, StoredTrace | None]],
    draft: "Redraft | str",
    said: Sequence[GivenFeedback] = (),
    *,
    marks: bool,
) -> RenderableType:
    """Draw a trace; it fits any width from 40 columns.

    Args:
        stored: The trace.
        neighbours: What warm-started it, by id; None where a trace was forgotten.
        draft: The draft, or why it cannot be shown.
        said: The feedback on it.
        marks: Put ``[-gone-]`` and ``{+new+}`` around what changed: where there is no colour.
    """
    trace = stored.trace
    tokens = draft if isinstance(draft, str) else _tokens(draft, marks)
    facts = Table.grid(padding=(0, 1))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in (
        *([] if trace.conversation is None else [("Asked", _asked(trace))]),
        ("Question", _said(trace.query)),
        ("Latents", _moved(trace)),
        ("Tokens" if not isinstance(draft, str) else "Draft", tokens),
        ("Warm start", _warm_start(trace, neighbours)),
        *([] if trace.settings is None else [("Settings", trace.settings)]),
        *([("Feedback", _feedback(said))] if said else []),
        ("Cost", _cost(trace)),
        ("Shelf", _shelf(trace)),
    ):
        facts.add_row(name, value if isinstance(value, Text) else Text(clean(value)))
    return Group(
        Text(f"Trace {stored.id}, stored {stored.created:%Y-%m-%d %H:%M:%S} UTC", style="bold"),
        facts,
        _beside(trace, draft, marks),
        Text(f"Rewards, -1 to 0 (a full bar). The search ended by: {clean(trace.stopped)}"),
        Rewards(trace),
    )


def _said(text: str | None) -> Text:
    return Text("not stored", style="dim") if text is None else Text(clean(text))


def _asked(trace: Trace) -> str:
    """Show the whole conversation, of which the question is the last human text."""
    asked = call_of(trace)
    return "too long to be kept, or not readable" if asked is None else transcript(asked.turns)


def _beside(trace: Trace, draft: "Redraft | str", marks: bool) -> RenderableType:
    """Lay draft and answer side by side, what differs marked word by word."""
    table = Table(expand=True)
    if isinstance(draft, str):
        table.add_column("Final answer", overflow="fold")
        table.add_row(_said(trace.answer))
        return table
    cut = draft.text is None
    before = "".join(draft.before) + " ..." if draft.text is None else draft.text
    table.add_column("Draft, its beginning" if cut else "Draft", ratio=1, overflow="fold")
    table.add_column("Final answer", ratio=1, overflow="fold")
    if trace.answer is None:
        table.add_row(Text(clean(before)), _said(None))
    else:
        table.add_row(*compared(clean(before), clean(trace.answer), marks=marks))
    return table


def compared(before: str, after: str, *, marks: bool) -> tuple[Text, Text]:
    """Return two texts with the words marked that only one of them has."""
    words = [_WORDS.findall(text) for text in (before, after)]
    gone, new = Text(), Text()
    for kind, start, end, from_, to in SequenceMatcher(a=words[0], b=words[1]).get_opcodes():
        for text, piece, style, brackets in (
            (gone, "".join(words[0][start:end]), _GONE, "[--]"),
            (new, "".join(words[1][from_:to]), _NEW, "{++}"),
        ):
            _append(text, piece, "" if kind == "equal" else style, brackets if marks else "")
    return gone, new


def _append(text: Text, piece: str, style: str, brackets: str) -> None:
    if style and piece.strip():
        text.append(f"{brackets[:2]}{piece}{brackets[2:]}", style=style)
    else:
        text.append(piece)


def _tokens(draft: "Redraft", marks: bool) -> Text:
    """Show the tokens of the optimised latents, each that changed with what it was."""
    text = Text()
    for at in range(max(len(draft.before), len(draft.after))):
        old = _quoted(draft.before[at]) if at < len(draft.before) else "nothing"
        new = _quoted(draft.after[at]) if at < len(draft.after) else "nothing"
        text.append("  " if at else "")
        if old == new:
            text.append(new)
        else:
            _append(text, old, _GONE, "[--]" if marks else "")
            text.append(" > ")
            _append(text, new, _NEW, "{++}" if marks else "")
    return text


def _quoted(piece: str) -> str:
    return f"'{clean(piece)}'".replace("\n", "\\n")


def _moved(trace: Trace) -> str:
    farthest = float(abs(trace.optimised - trace.base).max())
    rows, width = trace.base.shape
    return f"{rows} of {width} numbers each; the farthest one moved by {farthest:.2f}"


def _warm_start(trace: Trace, neighbours: Sequence[tuple[int, StoredTrace | None]]) -> Text:
    lines = [] if trace.prior is None else [f"prior {trace.prior}"]
    for id_, stored in neighbours:
        if stored is None:
            lines.append(f"trace {id_}, forgotten since")
        else:
            asked = stored.trace.query or "question not stored"
            lines.append(f"trace {id_}, reward {stored.trace.score:.2f}: {_short(asked)}")
    return Text(clean("\n".join(lines) or "none: no prior, no neighbours"))


def _feedback(said: Sequence[GivenFeedback]) -> str:
    """Show each piece of feedback in a line of its own, the one that decides marked."""
    decisive = effective(said)
    lines: list[str] = []
    for one in said:
        given, decides = one.feedback, ", which decides" if one is decisive else ""
        texts = [("comment", given.comment), ("correction", given.correction)]
        words = "".join(f"; {name}: {text}" for name, text in texts if text is not None)
        lines.append(f"{one.given:%Y-%m-%d %H:%M} {given.source} {given.score:.2f}{decides}{words}")
    return "\n".join(lines)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:37]}..."


def _cost(trace: Trace) -> str:
    steps, rewards = trace.steps, sum(map(len, trace.rewards))
    return (
        f"{steps} round{'s' * (steps != 1)}, {rewards} reward{'s' * (rewards != 1)}; "
        "forwarded tokens are reported with the answer, and not kept"
    )


def _shelf(trace: Trace) -> str:
    shelf = trace.shelf
    name = shelf.reward.split(" ")[0]
    return f"namespace {shelf.namespace}, model {shelf.fingerprint[:8]}, reward {name}"


class Rewards:
    """A bar for each round, equal rounds in a row as one; ASCII where the terminal needs it."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the bars."""
        block = "#" if options.ascii_only else "█"
        rows = list(rounds(self._trace))
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="crop")
        for name, rewards in rows[:_MOST]:
            kept, best = self._trace.score in rewards, max(rewards)
            bar = Text(block * round((1 + best) * _BAR) or "|", style="green" if kept else "blue")
            table.add_row(Text(name), rewards_text(rewards), bar)
        yield table
        if len(rows) > _MOST:
            yield Text(f"and {len(rows) - _MOST} more; --json has them all", style="dim")

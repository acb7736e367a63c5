"""What a conversation shows: answers on stdout, and on a terminal what goes on meanwhile."""

from collections.abc import Generator
from contextlib import contextmanager

import typer
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from latent_agent.server.memory_page.texts import clean
from latent_memory.fork_renewal import ForkSafeLock

_KEPT_FREE = 4  # lines of the terminal that a growing answer leaves free
_KINDS = {"draft": "dim", "thought": "dim italic", "answer": ""}


class Growing:
    """An answer while it is made: the end of its text as far as the terminal has room."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._kind, self._pieces, self._drafted = "", list[str](), False
        self._spinner = Spinner("line", text=Text("thinking", style="dim"))

    def show(self, kind: str, text: str) -> None:
        """Take a piece; see `latent_agent.cli.conversation.partner.Show`."""
        with self._lock:
            if kind == "doing":
                self._spinner.update(text=Text(text, style="dim"))
            elif kind == "drafted":
                self._kind, self._pieces, self._drafted = "draft", [text], True
            elif kind == "draft" and self._drafted:  # its last words come late
                pass
            elif kind != self._kind:
                self._kind, self._pieces = kind, [text]
            else:
                self._pieces.append(text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        with self._lock:
            kind, text = self._kind, "".join(self._pieces)
        rows = max(1, console.height - _KEPT_FREE)
        # Only the end is wrapped: an answer may be long, and this is done eight times a second.
        text = text[-rows * options.max_width :]
        if text:
            lines = Text(clean(text), _KINDS[kind]).wrap(console, options.max_width)
            yield from lines[-rows:]
        yield self._spinner


class Screen:
    """Shows a conversation.

    Args:
        terminal: Whether a person sits there. Otherwise answers alone go to stdout, as they are,
            with what a command was asked to show; everything else goes to stderr.
    """

    def __init__(self, *, terminal: bool) -> None:
        self.terminal = terminal
        self._out = Console(highlight=False)
        self._aside = (
            self._out if terminal else Console(stderr=True, highlight=False, soft_wrap=True)
        )

    @contextmanager
    def growing(self) -> Generator[Growing]:
        """Show an answer while it is made; nothing is left of that afterwards."""
        growing = Growing()
        if not self.terminal:
            yield growing
            return
        with Live(growing, console=self._out, transient=True, refresh_per_second=8):
            yield growing

    def answer(self, text: str) -> None:
        """Show an answer."""
        if self.terminal:
            self._out.print(Text(clean(text).strip() or "(an empty answer)"))
        else:
            typer.echo(text)

    def shown(self, what: RenderableType) -> None:
        """Show what was asked for."""
        self._out.print(what)

    def note(self, text: str) -> None:
        """Say something in passing."""
        self._aside.print(Text(clean(text), style="dim"))

    def error(self, text: str) -> None:
        """Say what went wrong."""
        self._aside.print(Text(clean(text), style="red"))

    def gap(self) -> None:
        """Leave a line free on a terminal."""
        if self.terminal:
            self._out.print()

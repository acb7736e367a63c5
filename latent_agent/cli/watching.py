"""Long work in one line on stderr: how much is done, tokens a second, and the time left.

On a terminal the line is rewritten; elsewhere, as in a log, there is a new one now and then.
"""

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from latent_agent.model.load_watch import watching_loads

_WINDOW = 60.0  # seconds that a pace is taken over
_APART = 0.5  # seconds between two looks at least
_FIRST, _SELDOM = 10.0, 600.0  # seconds between two lines of a log: twice as many each time

Show = Callable[[str, int, int, str], None]
"""Takes a stage, how much of it is done, of how much, and its pace in words."""
Clock = Callable[[], float]
"""Returns seconds, from any beginning."""


class Watcher:
    """Takes reports of (stage, done, total), and tokens as they are forwarded."""

    def __init__(self, show: Show, clock: Clock = time.monotonic) -> None:
        self._show, self._clock = show, clock
        self._stage, self._tokens = "", 0
        self._looks: deque[tuple[float, int, int]] = deque()  # time, done, tokens

    def spent(self, tokens: int) -> None:
        """Count tokens that were forwarded."""
        self._tokens += tokens

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        if stage != self._stage:
            self._stage = stage
            self._looks.clear()
        self._look(done)
        self._show(stage, done, total, self._pace(total))

    def named(self, stage: str) -> Callable[[int, int], None]:
        """Return what takes reports of (done, total) of one stage."""
        return lambda done, total: self(stage, done, total)

    def _look(self, done: int) -> None:
        now, looks = self._clock(), self._looks
        if len(looks) > 1 and now - looks[-2][0] < _APART:
            looks.pop()
        looks.append((now, done, self._tokens))
        while len(looks) > 2 and now - looks[1][0] >= _WINDOW:
            looks.popleft()

    def _pace(self, total: int) -> str:
        (began, first, spent), (now, done, tokens) = self._looks[0], self._looks[-1]
        if (seconds := now - began) <= 0:
            return ""
        words: list[str] = []
        if tokens > spent:
            words.append(f"{(tokens - spent) / seconds:,.0f} tokens/s")
        if total > done > first:
            words.append(f"{_duration((total - done) * seconds / (done - first))} left")
        return ", ".join(words)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


class Lines:
    """Shows a stage's beginning and end, and now and then how far it is."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._stage, self._next, self._pause = "", 0.0, _FIRST

    def __call__(self, stage: str, done: int, total: int, pace: str) -> None:
        """Print a line if it is time."""
        now = self._clock()
        if stage != self._stage:
            self._stage, self._next, self._pause = stage, now, _FIRST
        if now < self._next and done < total:
            return
        self._next, self._pause = now + self._pause, min(2 * self._pause, _SELDOM)
        typer.echo(", ".join(filter(None, (f"{stage}: {done} of {total}", pace))), err=True)


class _Bar:
    """Shows the stage at work as one line that is rewritten."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage, self._task = "", TaskID(-1)

    def __call__(self, stage: str, done: int, total: int, pace: str) -> None:
        if stage != self._stage:
            if self._stage:
                self._progress.remove_task(self._task)
            self._stage, self._task = stage, self._progress.add_task(stage, total=total, pace="")
        self._progress.update(self._task, completed=done, total=total, pace=pace)


@contextmanager
def watching(*, quiet: bool = False) -> Generator[Watcher]:
    """Yield what takes reports; ``quiet``: nothing is shown of them, nor that a model loads."""
    console = Console(stderr=True)
    if quiet:
        with watching_loads(lambda _name, _details: nullcontext()):
            yield Watcher(lambda _stage, _done, _total, _pace: None)
    elif console.is_terminal:
        with _one_line(console) as progress:
            yield Watcher(_Bar(progress))
    else:
        yield Watcher(Lines())


def _one_line(console: Console) -> Progress:
    counted, paced = (
        TextColumn(text, table_column=Column(no_wrap=True))
        for text in (
            "{task.description}: {task.completed:.0f} of {task.total:.0f}",
            "{task.fields[pace]}",
        )
    )
    return Progress(
        counted, BarColumn(), paced, console=console, transient=True, refresh_per_second=4
    )

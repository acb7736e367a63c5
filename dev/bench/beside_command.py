"""``python -m dev.bench beside``: what a night costs an assistant that answers all the time.

Both share the cores: the assistant answers in this process, one question after the other, and the
night is `latent-agent consolidate` as cron starts it, in a session of its own. Nights are stopped
at their limit and go on, until one comes to its end; between them the assistant is alone.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.night_process import STOPPED
from latent_agent.cli.options import Json, Quiet
from latent_agent.cli.watching import Watcher, watching
from latent_agent.errors import SettingError
from latent_agent.model.cores import cores as cores_here

if TYPE_CHECKING:
    from latent_agent.chat.chat_model import ChatLatentSeek

_COMMAND = "from latent_agent.cli import main; main()"


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What is measured.

    Attributes:
        model: Of both.
        traces: Questions that are answered before, so that there is something to learn from.
        seconds: How long the assistant is alone before and after each night.
        max_minutes: A night's limit.
        calls: Replays of a night at most.
        nights: How many nights at most.
        night_options: Further options of the night.
        max_tokens: Of an answer.
    """

    model: str
    traces: int
    seconds: float
    max_minutes: float
    calls: int
    nights: int
    night_options: Sequence[str] = ()
    max_tokens: int = 64


@dataclass(kw_only=True)
class _Stretch:
    """Calls that were answered alone, or beside a night, with that night's exit code."""

    latencies: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    code: int | None = None
    night: Any = None

    def figures(self) -> dict[str, Any]:
        return {
            "calls": len(self.latencies),
            "median_seconds": statistics.median(self.latencies),
            "longest_seconds": max(self.latencies),
            "seconds": self.seconds,
            "exit_code": self.code,
            "night": self.night,
        }


def beside(
    model: Annotated[str, typer.Option(help="Of the assistant and the night.")] = "bundled",
    traces: Annotated[int, typer.Option(help="Questions answered before.", min=100)] = 150,
    seconds: Annotated[float, typer.Option(help="Alone, around each night.", min=1)] = 20,
    max_minutes: Annotated[float, typer.Option(help="A night's limit.")] = 0.5,
    calls: Annotated[int, typer.Option(help="Replays of a night, at most.", min=16)] = 180,
    nights: Annotated[int, typer.Option(help="How many nights, at most.", min=1)] = 12,
    cores: Annotated[
        int | None, typer.Option(help="How many cores both share (Linux); by default all.", min=1)
    ] = None,
    night_options: Annotated[
        list[str] | None,
        typer.Option("--night", help="One more word for the night, such as --night=--threads=1."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.", min=1)] = 64,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Answer questions alone and beside a night in turn, and compare the latencies."""
    _keep_to(cores)
    plan = Beside(
        model=model, traces=traces, seconds=seconds, max_minutes=max_minutes, calls=calls,
        nights=nights, night_options=tuple(night_options or ()), max_tokens=max_tokens,
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="latent-agent-bench-") as folder,
        watching(quiet=quiet or as_json) as report,
    ):
        figures = measure(plan, Path(folder) / "memory.sqlite3", report)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _show(figures)


def _keep_to(cores: int | None) -> None:
    if cores is None:
        return
    if not hasattr(os, "sched_setaffinity") or cores > cores_here():
        raise SettingError(
            f"--cores must be no more than this process may use, got {cores!r}; give "
            f"{cores_here()} or fewer, on Linux, or leave it out"
        )
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def measure(plan: Beside, memory: Path, report: Watcher) -> dict[str, Any]:
    """Fill a memory, then answer alone and beside nights in turn; return the figures."""
    from latent_agent import ChatLatentSeek
    from latent_agent.teaching import questions

    chat = ChatLatentSeek(model=plan.model, memory=str(memory), max_tokens=plan.max_tokens)
    for number, question in enumerate(questions("train", n=plan.traces), 1):
        chat.invoke(question.text)
        report("filling the memory", number, plan.traces)
    asked = cycle([question.text for question in questions("test", n=400)])
    alone = [_alone(chat, asked, plan.seconds)]
    nights: list[_Stretch] = []
    while not nights or (nights[-1].code == STOPPED and len(nights) < plan.nights):
        nights.append(_beside_night(chat, asked, plan, memory))
        report("nights", len(nights), plan.nights)
        alone.append(_alone(chat, asked, plan.seconds))
    without, with_ = (
        [seconds for stretch in some for seconds in stretch.latencies] for some in (alone, nights)
    )
    return {
        **asdict(plan),
        "cores": cores_here(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "alone": [stretch.figures() for stretch in alone],
        "nights": [stretch.figures() for stretch in nights],
        "median_alone": statistics.median(without),
        "median_beside": statistics.median(with_),
        "ratio": statistics.median(with_) / statistics.median(without),
    }


def _alone(chat: "ChatLatentSeek", asked: Iterator[str], seconds: float) -> _Stretch:
    began = time.perf_counter()
    return _answered(chat, asked, lambda: time.perf_counter() - began < seconds)


def _beside_night(
    chat: "ChatLatentSeek", asked: Iterator[str], plan: Beside, memory: Path
) -> _Stretch:
    words = (
        "consolidate", "--memory", str(memory), "--model", plan.model, "--json",
        "--calls", str(plan.calls), "--max-minutes", str(plan.max_minutes), *plan.night_options,
    )  # fmt: skip
    command = [sys.executable, "-c", _COMMAND, *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as night:
        stretch = _answered(chat, asked, lambda: night.poll() is None)
        said, failure = night.communicate()
    if night.returncode not in (0, STOPPED):
        raise SettingError(
            f"a night must end or be stopped, got exit code {night.returncode} "
            f"({failure.strip()[-300:]}); give other --night options"
        )
    stretch.code = night.returncode
    if said:
        (told,) = json.loads(said)["nights"]
        stretch.night = {name: told[name] for name in ("verdict", "reason", "night")}
        stretch.night["kept"] = told["figures"].get("kept")
    return stretch


def _answered(chat: "ChatLatentSeek", asked: Iterator[str], going: Callable[[], bool]) -> _Stretch:
    stretch, began = _Stretch(), time.perf_counter()
    while not stretch.latencies or going():
        since = time.perf_counter()
        chat.invoke(next(asked))
        stretch.latencies.append(time.perf_counter() - since)
    stretch.seconds = time.perf_counter() - began
    return stretch


def _show(figures: dict[str, Any]) -> None:
    table = Table(title=f"{figures['model']} on {figures['cores']} cores, memory and nights on")
    table.add_column("")
    for name in ("seconds", "calls", "median", "longest", "exit code"):
        table.add_column(name, justify="right")
    stretches = [("alone", figures["alone"][0])]
    for number, (night, after) in enumerate(
        zip(figures["nights"], figures["alone"][1:], strict=True), 1
    ):
        stretches += [(f"beside night {number}", night), ("alone", after)]
    for name, one in stretches:
        table.add_row(
            name,
            f"{one['seconds']:.0f}",
            str(one["calls"]),
            f"{1000 * one['median_seconds']:.0f} ms",
            f"{1000 * one['longest_seconds']:.0f} ms",
            "" if one["exit_code"] is None else str(one["exit_code"]),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"Median of all calls {1000 * figures['median_alone']:.0f} ms alone, "
        f"{1000 * figures['median_beside']:.0f} ms beside a night: {figures['ratio']:.2f} times."
    )
    if last := figures["nights"][-1]["night"]:
        kept = last["kept"]
        console.print(
            f"Night: {last['verdict']}; "
            + ("in one go." if kept is None else f"went on from {kept} of an earlier one.")
        )

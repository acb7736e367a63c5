"""``latent-agent consolidate``: one night, or one at each time of a schedule."""

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from latent_agent.cli.night_process import (
    BUSY,
    STOPPED,
    exit_code_of,
    low_priority,
    stopped_by_signals,
)
from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import Json, MemoryAt, Model, Quiet, built_in_reward, named_embedder
from latent_agent.cli.plain_text import plain
from latent_agent.cli.watching import watching
from latent_agent.errors import NightRunningError, NightStoppedError, TooLittleError
from latent_agent.model.options import LoadOptions

if TYPE_CHECKING:
    from latent_agent.nights.job import NightJob, NightReport
    from latent_memory import LatentMemory


@opens_model
def consolidate(
    at: MemoryAt = None,
    namespace: Annotated[str, typer.Option(help="Whose traces.")] = "default",
    model: Model = "bundled",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="default, latentseek or latentevolve; by default the gate searches as most of the "
            "newest 100 traces were searched."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the gate's search, name=value; repeatable."),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(help="module:attribute of what embedded the questions, if not the model."),
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            help="A built-in's name or module:attribute; by default the one the traces name."
        ),
    ] = None,
    share: Annotated[
        list[str] | None, typer.Option(help="Learn from this namespace too; repeatable.")
    ] = None,
    if_new: Annotated[
        int | None,
        typer.Option(
            help="Run only if at least this many traces are new since the last night, whatever its "
            "outcome; 1 with --schedule. Without both: if any is new, or the last night failed or "
            "could not be judged.",
            min=1,
        ),
    ] = None,
    anchor: Annotated[
        Path | None, typer.Option(help="Known answers that must stay right (JSON Lines).")
    ] = None,
    calls: Annotated[int, typer.Option(help="Replays at the gate, at most.", min=1)] = 180,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the whole night; by default the night's number.", min=0),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Cron expression: stay, and run at these times.")
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(help="Stop after so many minutes; the next night goes on from there."),
    ] = None,
    priority: Annotated[
        Literal["low", "normal"],
        typer.Option(
            help="low: other programs go first (nice 10; where the system has no nice, as Windows, "
            "this changes nothing)."
        ),
    ] = "low",
    detailed: Annotated[
        bool, typer.Option("--exit-code", help="Exit codes for what was not published, too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would do.")] = False,
    opened: LoadOptions = USUAL,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a latent prior on the stored traces, and publish it if it wins.

    Exit codes: 0 published, or refused, or there was nothing to do; with --exit-code, 6 refused and
    7 nothing to do. 1 or 2 failed. 3 another night is running on this memory. 4 stopped, at
    --max-minutes or by SIGTERM or SIGINT; the next night goes on. 5 trained, but there was no way
    to judge, so nothing was published. With --schedule: 0 once it is stopped.
    """
    from latent_agent.nights.gate import GateSettings
    from latent_agent.nights.job import NightReport, NightSettings, plan
    from latent_agent.nights.night import consolidate as run_night
    from latent_agent.nights.watch import Watch
    from latent_memory import LatentMemory, default_location

    settings = NightSettings(
        if_new=if_new or (None if schedule is None else 1),
        seed=seed,
        gate=GateSettings(calls=calls),
    )

    def run(stop: threading.Event) -> Sequence[NightReport]:
        watch = Watch(stop=stop).within(max_minutes)
        with (
            watching(quiet=quiet or as_json) as report,
            LatentMemory(at or default_location()) as memory,
        ):
            jobs = _jobs(
                memory, namespace, model, recipe, reward,
                opened=opened,
                set_=set_ or (),
                embeddings=embeddings,
                anchor=anchor,
                share=tuple(share or ()),
                settings=settings,
                watch=replace(watch, report=report, spent=report.spent),
            )  # fmt: skip
            return _run_all(jobs, plan if dry_run else run_night, as_json)

    Watch().within(max_minutes)  # what is wrong is said before a schedule is waited for
    with low_priority(priority == "low"), stopped_by_signals() as stop:
        if schedule is not None:
            _run_at(schedule, lambda: _print(run(stop), as_json), stop)
            return
        _end_with_code(lambda: _print(run(stop), as_json), detailed=detailed)


def _run_all(
    jobs: Sequence["NightJob"], run: Callable[["NightJob"], "NightReport"], as_json: bool
) -> "Sequence[NightReport]":
    """Run the nights of all; one that fails costs no other its night, and is raised at the end.

    Rewards with too few traces are passed over, as long as another one has enough.
    """
    reports: list[NightReport] = []
    failures: list[Exception] = []
    ends: list[Exception] = []
    passed: list[TooLittleError] = []
    for job in jobs:
        try:
            reports.append(run(job))
        except (NightRunningError, NightStoppedError) as end:
            ends.append(end)
            break
        except TooLittleError as error:
            passed.append(error)
        except Exception as failure:
            failures.append(failure)
    lines = [f"passed over: {error}" for error in passed if len(jobs) > 1]
    errors = [*failures, *ends]
    for line in [*lines, *errors[1:]]:
        typer.echo(f"latent-agent: {line}", err=True)
    if reports and not errors:
        return reports
    if reports:
        _print(reports, as_json)
    raise (errors or passed)[0]


def _jobs(
    memory: "LatentMemory",
    namespace: str,
    model: str,
    recipe: str | None,
    reward: str | None,
    *,
    opened: LoadOptions,
    set_: Sequence[str],
    embeddings: str | None,
    anchor: Path | None,
    **given: Any,
) -> Sequence["NightJob"]:
    """Look up what was named; one job for each shelf that fits."""
    from latent_agent.call.agent import reward_for
    from latent_agent.model.registry import open_model
    from latent_agent.nights.job import NightJob
    from latent_agent.nights.regression_set import read_anchors
    from latent_agent.nights.search_settings import parse_settings, search_for
    from latent_agent.nights.targets import shelves_for
    from latent_agent.settings import settings_for

    search = parse_settings(set_)
    shared = open_model(model, None, opened)
    judge = None
    if reward is not None:
        judge = reward_for(settings_for(recipe or "default"), built_in_reward(reward))
    embedder = None if embeddings is None else named_embedder(embeddings)
    anchors = [] if anchor is None else read_anchors(anchor)
    shelves = shelves_for(memory, shared, namespace, judge, embedder)
    jobs: list[NightJob] = []
    for shelf in shelves:
        searched = search_for(memory, shelf, recipe, search)
        jobs.append(
            NightJob(
                memory=memory, model=shared, shelf=shelf, reward=judge, embedder=embedder,
                search=searched.settings, search_source=searched.source, anchors=anchors,
                optional=len(shelves) > 1, **given,
            )
        )  # fmt: skip
    return jobs


def _run_at(schedule: str, run: Callable[[], object], stop: threading.Event) -> None:
    """Run nights at the times of a schedule until they are stopped."""
    from latent_agent.nights.cron import cron_trigger
    from latent_agent.nights.scheduler import Nights

    nights = Nights(run, cron_trigger(schedule))
    nights.start()
    typer.echo(f"waiting for {schedule!r}, process {os.getpid()}", err=True)
    stop.wait()
    nights.stop()


def _end_with_code(run: Callable[[], Sequence["NightReport"]], *, detailed: bool) -> None:
    """Run once, and exit with the code of the outcome."""
    try:
        code = exit_code_of(run(), detailed=detailed)
    except (NightRunningError, NightStoppedError) as reason:
        typer.echo(f"latent-agent: {reason}", err=True)
        code = BUSY if isinstance(reason, NightRunningError) else STOPPED
    if code:
        raise typer.Exit(code)


def _print(reports: Sequence["NightReport"], as_json: bool) -> Sequence["NightReport"]:
    if as_json:
        typer.echo(json.dumps({"nights": [asdict(report) for report in reports]}))
        return reports
    console = Console(highlight=False)
    for report in reports:
        reward = report.shelf.reward.split(" ")[0]
        console.print(f"[bold]{report.shelf.namespace}[/bold], {reward}: {report.verdict}")
        console.print(f"  {plain(report.reason)}")
        for line in _lines(report.figures):
            console.print(f"  [dim]{line}[/dim]")
    return reports


def _lines(figures: Any) -> Sequence[str]:
    lines: list[str] = []
    if "trained" in figures:
        lines.append(
            f"{figures['trained']} traces to train on, {figures['held_out']} held out, of them "
            f"{figures['for_gate']} for the gate, "
            f"{figures['skipped']} of no use"
        )
    if "kept" in figures:
        kept = figures["kept"]
        lines.append(
            f"went on from an earlier night: {kept['updates']} gradient steps and "
            f"{kept.get('replays', 0)} replays were done"
        )
    if "searched" in figures:
        lines.append(f"the gate's search: {plain(figures['searched'])}")
    if "losses" in figures:
        first, *later = figures["losses"]
        best = figures["best_loss"]
        lines.append(f"held-out loss {first:.3f} -> {best:.3f} in {len(later)} epochs")
    for name, means in figures.get("gate", {}).get("contestants", {}).items():
        lines.append(
            f"{name}: {means['steps']:.2f} steps, reward {means['reward']:.3f}, "
            f"{means['at_once']:.0%} at once, {means['forwarded_tokens']:.0f} tokens"
        )
    return lines

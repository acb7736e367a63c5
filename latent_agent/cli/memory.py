"""``latent-agent memory``: look at what is remembered, and forget it."""

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import (
    Json,
    MemoryAt,
    Model,
    OneNamespace,
    Yes,
    confirm,
    open_memory,
)
from latent_agent.cli.plain_text import plain
from latent_agent.cli.watching import Watcher, watching
from latent_agent.errors import LatentAgentError, SettingError
from latent_agent.model.options import LoadOptions
from latent_memory import UNRATED, GivenFeedback, Rating, Ratings, StoredTrace, TraceInfo

_DAYS = 5  # of ratings, the last ones

memory = typer.Typer(help="Look at what is remembered, and forget it.", no_args_is_help=True)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, default=str, ensure_ascii=False))


def _watched(as_json: bool) -> AbstractContextManager[Watcher]:
    """Show progress on a terminal: a log needs no lines of what is mostly quick."""
    return watching(quiet=as_json or not sys.stderr.isatty())


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


@memory.command()
def status(at: MemoryAt = None, as_json: Json = False) -> None:
    """Show how much is remembered, and where."""
    with open_memory(at, read=True) as opened:
        stats, ratings = opened.stats(), opened.count_ratings()
    if as_json:
        _print_json({**asdict(stats), "ratings": asdict(ratings)})
        return
    console = Console()
    console.print(f"{stats.path} (schema {stats.revision})", soft_wrap=True, highlight=False)
    sizes = f"database {_size(stats.database_bytes)}, index {_size(stats.index_bytes)}"
    console.print(f"{stats.traces:,} traces; {sizes}; backups {len(stats.backups)}")
    if ratings.days:
        console.print(_rated(ratings), highlight=False)
    table = Table("Namespace", "Model", "Reward", "Traces", "Newest (UTC)")
    for info in stats.shelves:
        table.add_row(
            plain(info.shelf.namespace),
            info.shelf.fingerprint[:8],
            plain(info.shelf.reward.split(" ")[0]),
            f"{info.traces:,}",
            f"{info.newest:%Y-%m-%d %H:%M}",
        )
    console.print(table)


def _rated(ratings: Ratings) -> str:
    """Say how many answers were rated, in all and on the last days."""
    waiting = f"; {ratings.waiting:,} corrections wait for the model" if ratings.waiting else ""
    days = ", ".join(f"{one.day:%m-%d} {one.up}/{one.down}" for one in ratings.days[-_DAYS:])
    return f"rated: {ratings.up:,} up, {ratings.down:,} down{waiting}\nup/down by day: {days}"


@memory.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="Path or URL of a memory.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="Path or URL of an empty one.")],
    as_json: Json = False,
) -> None:
    """Copy a whole memory, ids and priors and all, such as from a file to PostgreSQL."""
    from latent_memory.transfer.copying import copy as copy_memory

    with (
        open_memory(source, read=True) as copied,
        open_memory(target) as made,
        _watched(as_json) as report,
    ):
        count = copy_memory(
            copied.database, made.database, lambda done, total: report("copying", done, total)
        )
        places = {"from": str(copied.place), "to": str(made.place)}
    if as_json:
        _print_json({"copied": count, **places})
    else:
        typer.echo(f"Copied {count:,} traces from {places['from']} to {places['to']}")


@memory.command("list")
def list_(
    at: MemoryAt = None,
    namespace: OneNamespace = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
    before: Annotated[int | None, typer.Option(help="Only ids below this one.")] = None,
    as_json: Json = False,
) -> None:
    """List traces, newest first."""
    with open_memory(at, read=True) as opened:
        traces = opened.list(namespace=namespace, limit=limit, before=before)
    if as_json:
        _print_json({"traces": [asdict(info) for info in traces]})
        return
    table = Table(caption="Times are in UTC")
    table.add_column("Id", justify="right")
    table.add_column("Stored", no_wrap=True)
    table.add_column("Namespace", max_width=12, overflow="ellipsis", no_wrap=True)
    table.add_column("Reward", justify="right")
    table.add_column("Steps", justify="right")
    table.add_column("Question", max_width=28, overflow="ellipsis", no_wrap=True)
    for info in traces:
        table.add_row(
            str(info.id),
            f"{info.created:%m-%d %H:%M}",
            plain(info.shelf.namespace),
            _reward(info),
            str(info.steps),
            plain(info.query or "not stored"),
        )
    Console().print(table)


def _reward(info: TraceInfo) -> str:
    """Show what feedback on a trace comes to, or else the reward that its call gave it."""
    if info.rating is not None:
        return f"rated {info.rating:z.2f}"
    return "unrated" if info.shelf.reward == UNRATED else f"{info.score:.2f}"


@memory.command()
@opens_model
def show(
    id: Annotated[int, typer.Argument(help="The trace's id.")],
    at: MemoryAt = None,
    model: Model = "bundled",
    opened: LoadOptions = USUAL,
    as_json: Json = False,
) -> None:
    """Show one trace: draft and answer side by side, and the way between them.

    The draft is generated again, by the model that made the trace; with --json no model is asked.
    """
    with open_memory(at, read=True) as store:
        stored = store.get(id)
        if stored is None:
            raise SettingError(f"there must be a trace of this id, got {id!r}; see: "
                               "latent-agent memory list")  # fmt: skip
        said, rating = store.feedback(id), store.ratings([id]).get(id)
        if as_json:
            _print_json({**_shown(stored), **_said(said, rating)})
            return
        neighbours = [(near, store.get(near)) for near in stored.trace.neighbours]
    from latent_agent.cli.trace_view import draw

    console = Console()
    marks = console.color_system is None
    draft = _draft_of(stored, model, opened)
    console.print(draw(stored, neighbours, draft, said, marks=marks))


def _draft_of(stored: StoredTrace, name: str, opened: LoadOptions) -> Any:
    """Return a trace's draft, or why it cannot be shown."""
    from latent_agent.call.redraft import redraft
    from latent_agent.model.registry import open_model

    try:
        return redraft(stored.trace, open_model(name, None, opened), name)
    except LatentAgentError as error:
        return f"not shown: {error}"


def _shown(stored: StoredTrace) -> dict[str, Any]:
    trace = stored.trace
    return {
        "id": stored.id,
        "created": f"{stored.created:%Y-%m-%d %H:%M:%S} UTC",
        "namespace": trace.shelf.namespace,
        "fingerprint": trace.shelf.fingerprint,
        "reward": trace.shelf.reward,
        "query": trace.query,
        "answer": trace.answer,
        "score": trace.score,
        "rewards": [list(rewards) for rewards in trace.rewards],
        "steps": trace.steps,
        "stopped": trace.stopped,
        "neighbours": list(trace.neighbours),
        "prior": trace.prior,
        "tokens": list(trace.tokens),
        "latents": list(trace.base.shape),
        "moved": round(float(abs(trace.optimised - trace.base).max()), 4),
        "conversation": trace.conversation,
        "settings": trace.settings,
    }


def _said(said: Sequence[GivenFeedback], rating: Rating | None) -> dict[str, Any]:
    return {
        "rating": None if rating is None else rating.reward,
        "feedback": [{"given": one.given, **asdict(one.feedback)} for one in said],
    }


@memory.command()
def forget(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids of the traces.")] = None,
    at: MemoryAt = None,
    namespace: OneNamespace = None,
    older_than: Annotated[
        float | None, typer.Option(help="Only those older than this many days.", min=0)
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict-forget", help="Withdraw the priors that learnt from them at once."),
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Erase traces for good: by id, by namespace, by age. Our own backups go too."""
    if not ids and namespace is None and older_than is None:
        raise SettingError(
            "forget must be given a choice of traces, got nothing; give ids, --namespace or "
            "--older-than"
        )
    until = None if older_than is None else datetime.now(UTC) - timedelta(days=older_than)
    chosen: dict[str, Any] = {"ids": ids or None, "namespace": namespace, "older_than": until}
    with open_memory(at) as opened:
        count = opened.forget(**chosen, dry_run=True)
        confirm(f"Erase {count:,} traces and all migration backups for good?", yes, count)
        erased = opened.forget(**chosen, strict=strict)
    _report("erased", erased, as_json)


@memory.command()
def prune(
    at: MemoryAt = None,
    namespace: OneNamespace = None,
    keep: Annotated[
        int | None,
        typer.Option(
            help="Keep this many of each namespace, model and reward, the most useful.", min=0
        ),
    ] = None,
    max_age: Annotated[float | None, typer.Option(help="Oldest age in days.", min=0)] = None,
    min_score: Annotated[float | None, typer.Option(help="Least reward, in [-1, 0].")] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Erase what is of least use, once: old, scored low, or seldom recalled."""
    age = None if max_age is None else timedelta(days=max_age)
    chosen: dict[str, Any] = {
        "keep": keep, "max_age": age, "min_score": min_score, "namespace": namespace,
    }  # fmt: skip
    with open_memory(at) as opened:
        count = opened.prune(**chosen, dry_run=True)
        confirm(f"Erase {count:,} traces and all migration backups for good?", yes, count)
        erased = opened.prune(**chosen)
    _report("erased", erased, as_json)


@memory.command()
def export(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    at: MemoryAt = None,
    namespace: OneNamespace = None,
    as_json: Json = False,
) -> None:
    """Write traces to JSON Lines and safetensors."""
    with open_memory(at, read=True) as opened, _watched(as_json) as report:
        count = opened.export(folder, namespace=namespace, progress=report.named("exporting"))
    _report("exported", count, as_json)


@memory.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="What export wrote.")],
    at: MemoryAt = None,
    namespace: Annotated[
        str | None,
        typer.Option(help="Put all of it into this one; by default each trace keeps its own."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read an export, all or nothing."""
    with open_memory(at) as opened, _watched(as_json) as report:
        count = opened.import_(folder, namespace=namespace, progress=report.named("importing"))
    _report("imported", count, as_json)


@memory.command()
def verify(at: MemoryAt = None, as_json: Json = False) -> None:
    """Check that all is as it was stored; exit code 1 if something is not."""
    with open_memory(at) as opened, _watched(as_json) as report:
        problems: Sequence[Any] = opened.verify(report.named("verifying"))
    if as_json:
        _print_json({"problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            typer.echo(problem.text)
        typer.echo(f"{len(problems)} problems found")
    raise typer.Exit(1 if problems else 0)


@memory.command()
def rebuild(
    at: MemoryAt = None,
    compact: Annotated[
        bool,
        typer.Option("--compact", help="Give the space of what was forgotten back, too."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Rebuild the indexes from the database."""
    with open_memory(at) as opened:
        if compact:
            opened.compact()
        count = opened.rebuild()
    _report("indexed", count, as_json)


def _report(done: str, count: int, as_json: bool) -> None:
    if as_json:
        _print_json({done: count})
    else:
        typer.echo(f"{done} {count:,} traces")

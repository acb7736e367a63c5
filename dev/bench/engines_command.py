"""``python -m dev.bench engines``: the same calls by each engine, in turn, in one run."""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json
from latent_agent.cli.watching import watching
from latent_agent.errors import SettingError

Runs = Mapping[str, Sequence[Mapping[str, Any]]]


def engines(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Models, each as PLACE or PLACE@DTYPE: a GGUF file, a folder@bfloat16 and so on."
        ),
    ],
    rows: Annotated[int, typer.Option(help="Calls at once.", min=1)] = 1,
    answer: Annotated[int, typer.Option(help="Tokens of a draft.", min=2)] = 128,
    verdict: Annotated[int, typer.Option(help="Tokens of each of the four checks.", min=2)] = 32,
    repeats: Annotated[int, typer.Option(help="Processes of each, in turn.", min=1)] = 3,
    threads: Annotated[int | None, typer.Option(help="Threads of each.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the questions.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Measure whole calls of fixed lengths, and plain greedy decoding of the same tokens.

    A call drafts, and judges its draft; no token ends an answer. Each run has a process of its own,
    so that its peak memory is its own too. With --rows above 1 so many calls run at once.
    """
    runs: dict[str, list[Mapping[str, Any]]] = {model: [] for model in models}
    with watching() as report:
        for number in range(repeats):
            for place, model in enumerate(models):
                report(model, number * len(models) + place, repeats * len(models))
                given = dict(rows=rows, answer=answer, verdict=verdict, threads=threads, seed=seed)
                runs[model].append(_run(model, given))
    found = {name: _figures(ran) for name, ran in runs.items()}
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _show(found)


def engine_run(model: str, given: str) -> None:
    """Measure one engine in this process, and print what was found as JSON."""
    from dev.bench.engine_run import run
    from latent_agent.model.options import LoadOptions
    from latent_agent.teaching import questions

    asked: dict[str, Any] = json.loads(given)
    place, _, dtype = model.partition("@")
    rows, threads = asked["rows"], asked["threads"]
    texts = [one.text for one in questions("test", n=rows, seed=asked["seed"])]
    options = LoadOptions(dtype=dtype or None, threads=threads)
    lengths = {name: asked[name] for name in ("rows", "answer", "verdict")}
    typer.echo(json.dumps(run(place, options, texts, repeats=1, **lengths)))


def _run(model: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    command = [sys.executable, "-m", "dev.bench", "engine-run", model, json.dumps(given)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SettingError(
            f"each model must be measured without an error, got one of {model!r}: "
            f"{ended.stderr[-500:]}; fix it, or leave that model out"
        )
    return json.loads(ended.stdout.splitlines()[-1])


def _figures(ran: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    calls = [second for run in ran for second in run["seconds"]]
    plain = [second for run in ran for second in run["plain_seconds"]]
    over = [ours / theirs for ours, theirs in zip(calls, plain, strict=False)]
    return {
        "seconds": statistics.median(calls),
        "least": min(calls),
        "most": max(calls),
        "over_plain": statistics.median(over) if over else None,
        "written_per_second": ran[0]["written_tokens"] / statistics.median(calls),
        "forwarded_tokens": ran[0]["forwarded_tokens"],
        "peak_bytes": max(run["peak_bytes"] for run in ran),
        "load_seconds": statistics.median([run["load_seconds"] for run in ran]),
        "threads": ran[0]["threads"],
    }


def _show(found: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table("model")
    for column in ("seconds", "least-most", "/ first", "/ plain", "answers, tok/s", "peak MB"):
        table.add_column(column, justify="right")
    first = next(iter(found.values()))
    for name, one in found.items():
        over = one["over_plain"]
        table.add_row(
            name.rpartition("/")[2],
            f"{one['seconds']:,.2f}",
            f"{one['least']:,.2f}-{one['most']:,.2f}",
            f"{first['seconds'] / one['seconds']:.2f} x",
            "" if over is None else f"{over:.2f}",
            f"{one['written_per_second']:,.1f}",
            f"{one['peak_bytes'] / 1e6:,.0f}",
        )
    Console().print(table)

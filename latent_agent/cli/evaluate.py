"""``latent-agent evaluate``: methods against each other on the same questions, with error bars."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import (
    Json,
    MaxIterations,
    Model,
    Quiet,
    Recipe,
    RewardName,
    built_in_reward,
)
from latent_agent.cli.watching import watching
from latent_agent.model.options import LoadOptions

if TYPE_CHECKING:
    from latent_agent.evaluation.run import Finished
    from latent_agent.evaluation.setup import EvaluationRequest, Experiment
    from latent_agent.evaluation.study import Study

Data = Annotated[
    str,
    typer.Option(
        help="A JSON Lines file (question and answer; GSM8K, MATH-500, AIME, multiple choice), or "
        "'bundled', 'bundled:validation', 'bundled:test+unseen'."
    ),
]
Questions = Annotated[
    int | None,
    typer.Option(help="How many at most, of each split; by default a whole file, or 210.", min=1),
]
Out = Annotated[Path, typer.Option(help="Folder for results; what is in it is not done again.")]
Check = Annotated[
    str, typer.Option(help="auto, math, exact, choice, bundled, or module:attribute.")
]
Ending = Annotated[
    str, typer.Option(help="Put after each question: how the answer is to be stated.")
]
Sampling = Annotated[
    float, typer.Option("--sampling", help="Temperature of sampled answers.", min=0.01)
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Any other setting: name=value.")]
AtOnce = Annotated[
    int,
    typer.Option(
        help="Answers that share the model's passes, and what several methods want of a question; "
        "1 where their seconds are to be compared.",
        min=1,
    ),
]
Misjudge = Annotated[
    float, typer.Option(help="Share of answers that the judge gets wrong.", min=0, max=1)
]


@opens_model
def evaluate(
    model: Model = "bundled",
    data: Data = "bundled",
    methods: Annotated[
        str,
        typer.Option(
            help="Commas between them; 'all' is the whole table.",
            show_default="greedy, self-consistency, best-of-n, latentseek",
        ),
    ] = "greedy,self-consistency,best-of-n,latentseek",
    out: Out = Path("evaluation"),
    questions: Questions = None,
    draw: Annotated[
        int, typer.Option(help="Which questions of the teaching world are drawn.", min=0)
    ] = 0,
    families: Annotated[str, typer.Option(help="Only these, with + between them.")] = "",
    seeds: Annotated[int, typer.Option(help="How many seeds, from 0.", min=1)] = 1,
    check: Check = "auto",
    ending: Ending = "",
    recipe: Recipe = "default",
    max_iterations: MaxIterations = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer.", min=1)] = None,
    settings: Settings = None,
    reward: RewardName = "self",
    misjudge: Misjudge = 0.0,
    sampling: Sampling = 1.0,
    at_once: AtOnce = 8,
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="Each method at each value, too: fraction=0.1,0.2"),
    ] = None,
    each: Annotated[
        str | None,
        typer.Option(
            help="The whole evaluation, training included, at each value, then one table: "
            "period=50,100; also day, train_questions, or any setting."
        ),
    ] = None,
    train: Annotated[
        str | None,
        typer.Option(help="Training questions for memory and prior; as --data."),
    ] = None,
    train_questions: Annotated[
        int, typer.Option(help="How many a day; a night follows each day (T).", min=1)
    ] = 200,
    period: Annotated[
        int | None,
        typer.Option(help="A night after each this many of a day's questions, too (T).", min=1),
    ] = None,
    day: Annotated[
        list[str] | None,
        typer.Option(help="A day's families with + between them, or 'all'; once for each day."),
    ] = None,
    night_calls: Annotated[
        int, typer.Option(help="Questions that a night's gate asks again, at most.", min=0)
    ] = 180,
    peek: Annotated[
        bool,
        typer.Option("--peek", help="Only report on what --out holds by now; with --each too."),
    ] = False,
    opened: LoadOptions = USUAL,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Answer the same questions by several methods and compare them.

    A run that was killed goes on: give the same command again. Answers are kept one by one;
    training days that were not over start over. The folder holds report.md, report.html,
    summary.json, records.jsonl (each answer) and settings.json.
    """
    from latent_agent.evaluation.extras import require_extras
    from latent_agent.evaluation.setup import EvaluationRequest, experiment

    require_extras()
    if peek:
        if each is not None:
            return _glance(each, out, as_json)
        return _print_summary(_peeked(out), out, as_json)
    if train is None and data.startswith("bundled"):
        train = "bundled:train"
    asked = EvaluationRequest(
        model=model, data=data, methods=methods, questions=questions, draw=draw,
        families=tuple(filter(None, families.split("+"))), seeds=seeds, check=check,
        ending=ending, recipe=recipe, misjudge=misjudge, sampling=sampling, train=train,
        sweeps=tuple(sweep or ()), train_questions=train_questions, period=period,
        days=tuple(day or ("all",)),
        night_calls=night_calls, at_once=at_once, reward=built_in_reward(reward), opened=opened,
        settings=given_settings(
            settings or [], max_iterations=max_iterations, max_tokens=max_tokens
        ),
    )  # fmt: skip
    if each is not None:
        return _studied(asked, each, out, as_json, quiet=quiet or as_json)
    finished = _run(asked, experiment(asked), out, quiet=quiet or as_json)
    return _print_summary(finished, out, as_json)


def _studied(
    asked: "EvaluationRequest", each: str, out: Path, as_json: bool, *, quiet: bool
) -> None:
    from latent_agent.evaluation.setup import experiment
    from latent_agent.evaluation.study import Study

    study = Study.parse(each)
    variants = {value: (one, experiment(one)) for value, one in study.variants(asked)}
    summaries = {
        value: _run(one, made, study.folder(out, value), quiet=quiet)
        for value, (one, made) in variants.items()
    }
    _print_study(out, study, summaries, as_json)


def _glance(each: str, out: Path, as_json: bool) -> None:
    """Report on what a study's folders hold by now."""
    from latent_agent.errors import EvaluationError
    from latent_agent.evaluation.study import Study

    study, summaries = Study.parse(each), dict[str, dict[str, Any]]()
    failure: EvaluationError | None = None
    for value in study.values:
        try:
            summaries[value] = _peeked(study.folder(out, value))
        except EvaluationError as error:
            failure = error
            typer.echo(f"latent-agent: passed over: {error}", err=True)
    if failure is not None and not summaries:
        raise failure
    _print_study(out, replace(study, values=tuple(summaries)), summaries, as_json)


def _print_study(
    out: Path, study: "Study", summaries: Mapping[str, Mapping[str, Any]], as_json: bool
) -> None:
    from latent_agent.evaluation.study import write_study

    page = write_study(out, study, summaries)
    if as_json:
        typer.echo(json.dumps(study.merged(summaries)))
    else:
        typer.echo(page)
        typer.echo(f"Study: {out / 'study.md'} and {out / 'study.png'}")


def _print_summary(summary: dict[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _show(summary, out)


def given_settings(texts: list[str], **named: Any) -> dict[str, Any]:
    """Return settings by name; an option that was given goes before ``--set``."""
    from latent_agent.evaluation.specs import setting

    given = {name: value for name, value in named.items() if value is not None}
    return {**dict(map(setting, texts)), **given}


def _peeked(out: Path) -> dict[str, Any]:
    from latent_agent.evaluation.run import peek

    return _reported(out, *peek(out))


def _run(
    asked: "EvaluationRequest", made: "Experiment", out: Path, *, quiet: bool
) -> dict[str, Any]:
    from latent_agent.evaluation.run import evaluate as run
    from latent_agent.evaluation.setup import written
    from latent_agent.nights.watch import Watch

    with watching(quiet=quiet) as report:
        settings = written(asked, made)
        finished = run(
            made.bench, made.plan, out, settings, Watch(report=report, spent=report.spent)
        )
    return _reported(out, finished, settings)


def _reported(out: Path, finished: "Finished", settings: Mapping[str, Any]) -> dict[str, Any]:
    from latent_agent.evaluation.report import write_report
    from latent_agent.evaluation.summary import summarise

    summary = summarise(finished.records, finished.prepared, finished.tokens)
    write_report(out, summary, finished.records, settings)
    return summary


def _show(summary: dict[str, Any], out: Path) -> None:
    from latent_agent.evaluation.report import spent
    from latent_agent.evaluation.tables import HEADINGS, method_rows

    table = Table(title=f"{summary['questions']} questions, {len(summary['seeds'])} seed(s)")
    table.add_column(HEADINGS[0], overflow="fold")  # variants differ at their names' ends
    shown = (0, 1, 2, 3, 7, 8)
    for number in shown[1:]:
        table.add_column(HEADINGS[number], justify="right")
    for row in method_rows(summary["groups"]["all"]):
        table.add_row(*(row[number] for number in shown))
    Console().print(table)
    for line in spent(summary):
        typer.echo(line)
    typer.echo(f"Report: {out / 'report.html'} and {out / 'report.md'}")

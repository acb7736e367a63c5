"""``python -m dev.pool table``: all rewards on a pool, side by side."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dev.pool.baselines import Baselines, baselines
from dev.pool.rewards import FREE, scored
from latent_agent.cli.options import Json
from latent_agent.errors import EvaluationError
from latent_agent.evaluation.notes import Notes
from latent_agent.evaluation.pool_file import PooledQuestion, PoolFile
from latent_agent.evaluation.reward_figures import Figures, Scores, figures
from latent_agent.evaluation.statistics import Estimate

_FIRST = f"{'reward':<24} {'area':>5}  {'within a question':<17}  best of all answers"
_SECOND = (
    f"{'':<24} {'over greedy':<21}  {'takes right':>12} {'wrong':>5} {'above':>6} {'tokens':>6}"
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Scores of a reward that asked a model, by the question's key."""

    name: str
    pool: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]


def table(
    pools: Annotated[list[Path], typer.Argument(help="Pools that `sample` wrote.")],
    scores: Annotated[
        list[Path] | None, typer.Option(help="Scores that `score` wrote; several times.")
    ] = None,
    families: Annotated[
        bool, typer.Option("--families", help="A table for each family, too.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the half that thresholds are found on.")] = 0,
    as_json: Json = False,
) -> None:
    """Compare rewards on pools: how they rank answers, and what they would accept.

    Thresholds are found on one half of the questions and shown on the other.
    """
    judged = [_judged(path) for path in scores or []]
    found: list[dict[str, Any]] = []
    for path in pools:
        pool = PoolFile(path)
        ours = [one for one in judged if dict(one.pool) == dict(pool.settings)]
        by_family = {one.family: [] for one in pool.asked} if families else {}
        for one in pool.asked if families else ():
            by_family[one.family].append(one)
        for family, asked in {"": pool.asked, **by_family}.items():
            plain, by_reward = compared(asked, ours, seed)
            named = {"model": pool.settings["model"], "dtype": pool.settings["dtype"]}
            named |= {"data": pool.settings["data"], "family": family or "all"}
            rewards = {name: asdict(one) for name, one in by_reward.items()}
            found.append({**named, "plain": asdict(plain), "rewards": rewards})
            if not as_json:
                for line in shown(named, plain, by_reward):
                    typer.echo(line)
    if as_json:
        typer.echo(json.dumps({"pools": found}))


def _judged(path: Path) -> Judged:
    rows = Notes(path).rows if path.is_file() else []
    if not rows or "reward" not in rows[0]:
        raise EvaluationError(
            f"scores must be a file that `python -m dev.pool score` wrote, got {str(path)!r}; "
            "give one, or leave --scores out"
        )
    judge, own = (rows[0][name] for name in ("model", "pool"))
    return Judged(
        name=rows[0]["name"] if judge == own["model"] else f"{rows[0]['name']}, {judge}",
        pool=rows[0]["pool"],
        rows={row["key"]: row for row in rows[1:]},
    )


def compared(
    asked: Sequence[PooledQuestion], judged: Sequence[Judged], seed: int = 0
) -> tuple[Baselines, dict[str, Figures]]:
    """Return a pool's figures, without a reward and by each; questions not judged are left out."""
    by_reward = {
        name: figures(_rights(asked), scored(reward, asked), seed) for name, reward in FREE.items()
    }
    for one in judged:
        both = [question for question in asked if question.key in one.rows]
        rows = [one.rows[question.key] for question in both]
        scores: Scores = [row["scores"] for row in rows]
        answers = max(1, sum(map(len, scores)))
        tokens, seconds = (sum(row[name] for row in rows) for name in ("tokens", "seconds"))
        name = one.name if len(both) == len(asked) else f"{one.name} ({len(both)})"
        by_reward[name] = figures(_rights(both), scores, seed, tokens / answers, seconds / answers)
    return baselines(asked), by_reward


def shown(
    named: Mapping[str, str], plain: Baselines, by_reward: Mapping[str, Figures]
) -> Iterator[str]:
    """Yield the lines of a table, 80 columns wide at most."""
    yield f"{named['model']} ({named['dtype']}), {named['data']}, {named['family']}"
    yield (
        f"{plain.questions} questions, {plain.answers} answers each of {plain.tokens:.0f} tokens; "
        f"{plain.cut:.1%} cut off, so wrong"
    )
    for name, one in (("greedy", plain.greedy), ("self-consistency", plain.voted)):
        yield f"{name:<24} {_interval(one)}"
    yield f"{f'pass@{plain.answers}':<24} {_interval(plain.any)}"
    yield _FIRST
    by_reward = {name if len(name) < 25 else f"{name[:23]}…": by_reward[name] for name in by_reward}
    for name, one in by_reward.items():
        yield f"{name:<24} {one.area:5.3f}  {_interval(one.within):<17}  {_interval(one.best)}"
    yield _SECOND
    for name, one in by_reward.items():
        gain = one.gain.difference
        over = f"{gain.mean:+.3f} [{gain.low:+.2f}, {gain.high:+.2f}]"
        yield (
            f"{name:<24} {over:<21}  {one.right:>11.3f} {one.wrong:>6.3f} {one.threshold:>6.3f} "
            f"{one.tokens:>6.0f}"
        )
    yield ""


def _rights(asked: Sequence[PooledQuestion]) -> list[list[bool]]:
    return [[answer.right for answer in one.answers] for one in asked]


def _interval(one: Estimate) -> str:
    return f"{one.mean:.3f} [{one.low:.2f}, {one.high:.2f}]"

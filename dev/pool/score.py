"""``python -m dev.pool score``: a reward that needs a model, on all answers of a pool.

A kill costs the questions in hand; the same command goes on.
"""

import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from dev.pool.sample import in_time
from latent_agent.call.agent import default_reward
from latent_agent.call.parallel import in_parallel
from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import Quiet, built_in_reward
from latent_agent.cli.watching import watching
from latent_agent.errors import EvaluationError
from latent_agent.evaluation.notes import Notes
from latent_agent.evaluation.pool_answers import cases, dtype_of
from latent_agent.evaluation.pool_file import PooledQuestion, PoolFile, differing
from latent_agent.model.budget import Budget
from latent_agent.model.options import LoadOptions
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.reward import Reward, as_reward
from latent_agent.reward.self_judge import SelfJudge


@opens_model
def score(
    pool: Annotated[Path, typer.Argument(help="A pool that `sample` wrote.")],
    model: Annotated[str, typer.Option(help="The judge: a folder, a GGUF file, or bundled.")],
    reward: Annotated[str, typer.Option(help="A built-in's name, self, or module:attribute.")],
    out: Annotated[Path, typer.Option(help="The scores; those that are there are gone on with.")],
    at_once: Annotated[int, typer.Option(help="Questions judged at once, all their answers.")] = 1,
    limit: Annotated[int | None, typer.Option(help="Questions at most, the pool's first.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Begin no question after so long; those at hand end.")
    ] = None,
    opened: LoadOptions = USUAL,
    quiet: Quiet = False,
) -> None:
    """Score a pool's answers, each question's together, by a reward that asks a model."""
    ends = None if minutes is None else time.monotonic() + 60 * minutes
    known, judge = PoolFile(pool), open_model(model, None, opened)
    given = built_in_reward(reward)
    by = default_reward("strict") if given is None else as_reward(given)
    settings = {
        "pool": dict(known.settings),
        "name": reward,
        "reward": by.id,
        "model": Path(model).name,
        "fingerprint": judge.fingerprint(),
        "dtype": dtype_of(judge.engine()),
    }
    notes = Notes(out)
    if not notes.rows:
        notes.add(**settings)
    if other := differing(notes.rows[0], settings):
        raise EvaluationError(
            f"scores must keep to the {other} they began with, {notes.rows[0].get(other)!r}, got "
            f"{settings.get(other)!r} for {str(out)!r}; give another --out"
        )
    done = {row["key"] for row in notes.rows[1:]}
    wanted = known.asked[:limit]
    cancelled = threading.Event()
    jobs = [
        partial(in_time, partial(_score, judge, by, asked, cancelled), ends)
        for asked in wanted
        if asked.key not in done
    ]
    begun = len(wanted) - len(jobs)
    with watching(quiet=quiet) as report, closing(in_parallel(jobs, at_once, cancelled)) as made:
        report(out.name, begun, len(wanted))
        for number, row in enumerate(made, 1):
            if row is not None:
                notes.add(**row)
                report.spent(row["tokens"])
                report(out.name, begun + number, len(wanted))


def _score(
    judge: SharedModel, reward: Reward, asked: PooledQuestion, cancelled: threading.Event
) -> dict[str, Any]:
    """Return a question's line: the scores of its answers, and what they cost."""
    began, budget = time.perf_counter(), Budget(cancelled=cancelled)
    asking = SelfJudge(judge.engine(), budget, judge.judge_prompts)
    found = reward.score_round(cases(asked, asking))
    return {
        "key": asked.key,
        "scores": [round(one.value, 6) for one in found],
        "tokens": budget.total,
        "seconds": round(time.perf_counter() - began, 3),
    }

"""``python -m dev.pool sample``: nine answers to each question, in large batches.

A kill costs the questions in hand; the same command goes on.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
import typer

from dev.pool.pool_file import Answer, Asked, PoolFile
from latent_agent.call.parallel import in_parallel
from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import Quiet
from latent_agent.cli.watching import watching
from latent_agent.evaluation.checking import FITTING
from latent_agent.evaluation.items import Item, digest, load_items
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.engine import AnswerLimits, Completion, Engine, Writing
from latent_agent.model.options import LoadOptions
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.model.sampling import GREEDY, Sampler

T = TypeVar("T")
_TEMPERATURE = 0.7


@opens_model
def sample(
    model: Annotated[str, typer.Argument(help="A Hugging Face folder, a GGUF file, or bundled.")],
    data: Annotated[str, typer.Option(help="Questions, as `latent-agent evaluate` takes them.")],
    out: Annotated[Path, typer.Option(help="The pool; one that is there is gone on with.")],
    samples: Annotated[int, typer.Option(help="Answers a question, the greedy one first.")] = 9,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 400,
    seed: int = 0,
    rows: Annotated[int, typer.Option(help="Answers that are written at once.")] = 36,
    limit: Annotated[int | None, typer.Option(help="Questions at most, of all families.")] = None,
    ending: Annotated[str, typer.Option(help="Put after each question.")] = "",
    minutes: Annotated[
        float | None, typer.Option(help="Begin no question after so long; those at hand end.")
    ] = None,
    opened: LoadOptions = USUAL,
    quiet: Quiet = False,
) -> None:
    """Sample answers, the first greedy and the others at temperature 0.7, with log-probabilities.

    In bfloat16 what is written beside an answer can change it by rounding.
    """
    ends = None if minutes is None else time.monotonic() + 60 * minutes
    items = load_items(data)
    served = open_model(model, None, opened)
    settings = {
        "model": Path(model).name,
        "fingerprint": served.fingerprint(),
        "engine": served.engine().name,
        "dtype": dtype_of(served.engine()),
        "data": Path(data).name,
        "items": digest(items),
        "prompt": _shown(served, ending),
        "samples": samples,
        "temperature": _TEMPERATURE,
        "max_tokens": max_tokens,
        "seed": seed,
    }
    pool = PoolFile(out, settings)
    done = {asked.key for asked in pool.asked}
    wanted = by_turns(items)[:limit]
    left = [item for item in wanted if item.key not in done]
    begun = len(wanted) - len(left)
    cancelled, at_once = threading.Event(), max(1, rows // samples)
    jobs = [
        partial(in_time, partial(_answer, served, item, settings, ending, cancelled), ends)
        for item in left
    ]
    with watching(quiet=quiet) as report, closing(in_parallel(jobs, at_once, cancelled)) as made:
        report(out.name, begun, len(wanted))
        for number, (item, written) in enumerate(zip(left, made, strict=True), 1):
            if written is not None:
                pool.add(checked(item, *written))
                report.spent(written[1])
                report(out.name, begun + number, len(wanted))


def in_time(job: Callable[[], T], ends: float | None) -> T | None:
    """Do a job, or nothing after a moment of the monotonic clock."""
    return None if ends is not None and time.monotonic() >= ends else job()


def _answer(
    model: SharedModel,
    item: Item,
    settings: Mapping[str, Any],
    ending: str,
    cancelled: threading.Event,
) -> tuple[list[Completion], int]:
    """Write an item's answers; return them, and the tokens that were forwarded."""
    budget = Budget(cancelled=cancelled)
    stream = int.from_bytes(hashlib.sha256(item.question.encode()).digest()[:4])
    samplers = [GREEDY] + [
        Sampler(settings["temperature"], settings["seed"], stream, number)
        for number in range(1, settings["samples"])
    ]
    prompt = encode_chat(model.tokenizer, [Turn("user", item.question + ending)], (), {})
    limits = AnswerLimits(max_tokens=settings["max_tokens"])
    written = model.engine().sequence(budget).write(
        [
            Writing(prompt=prompt, limits=limits, sampler=sampler, latents=False, logprobs=True)
            for sampler in samplers
        ],
        "draft",
    )  # fmt: skip
    return written, budget.total


def checked(item: Item, written: Sequence[Completion], tokens: int) -> Asked:
    """Return a question with its answers, compared with the truth.

    Not done where they are written: in other threads nothing stops a comparison of formulas.
    """
    answers = [
        Answer(
            text=one.text,
            final=FITTING.final(item, one.text),
            right=one.finish == "stop" and FITTING.is_right(item, one.text),
            whole=one.finish == "stop",
            tokens=len(one.tokens),
            logprobs=one.logprobs,
        )
        for one in written
    ]
    return Asked(
        key=item.key, question=item.question, truth=item.truth, family=item.family,
        choices=item.choices, answers=answers, tokens=tokens,
    )  # fmt: skip


def by_turns(items: Sequence[Item]) -> list[Item]:
    """Return items with the families in turn, so that the first ones are of all families."""
    places: dict[str, int] = {}
    turns: list[tuple[int, Item]] = []
    for item in items:
        turns.append((places.get(item.family, 0), item))
        places[item.family] = places.get(item.family, 0) + 1
    return [item for _, item in sorted(turns, key=lambda turn: turn[0])]


def dtype_of(engine: Engine) -> str:
    """Return the precision that an engine computes in, as far as it says."""
    dtype = getattr(getattr(engine, "model", None), "dtype", None)
    return str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else "its own"


def _shown(model: SharedModel, ending: str) -> str:
    """Return how a question is put, as text: template and ending."""
    ids = encode_chat(model.tokenizer, [Turn("user", f"QUESTION{ending}")], (), {})
    text: Any = model.tokenizer.decode(ids)
    return text

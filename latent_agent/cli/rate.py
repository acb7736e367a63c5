"""``latent-agent memory rate``: say how good an answer was."""

from typing import Annotated

import typer

from latent_agent.cli.options import MemoryAt, open_memory
from latent_agent.errors import SettingError
from latent_memory import Feedback

_WORDS = {"up": 1.0, "down": 0.0}


def rate(
    id: Annotated[str, typer.Argument(help="The answer's answer_id or trace_id, or its run's id.")],
    score: Annotated[str, typer.Argument(help="up, down, or a number from 0 to 1.")],
    correction: Annotated[str | None, typer.Option(help="The right answer.")] = None,
    comment: Annotated[str | None, typer.Option(help="What else there is to say.")] = None,
    source: Annotated[str, typer.Option(help="Who says so: user, test or judge.")] = "user",
    namespace: Annotated[str, typer.Option(help="Whose answer it is.")] = "default",
    at: MemoryAt = None,
) -> None:
    """Say how good an answer was; the model reads a correction at the next call or night."""
    from latent_agent.chat.feedback import run_id
    from latent_agent.telemetry.ratings import rated

    given = Feedback(score=_number(score), source=source, comment=comment, correction=correction)
    with open_memory(at) as opened:
        answer = int(id) if id.isdecimal() else run_id(id)
        rating = opened.rate(answer, given, namespace=namespace)
    rated(given, namespace, rating.trace)
    waits = "; its correction is read at the next call or night" if rating.pending else ""
    typer.echo(f"Answer {rating.trace} has a reward of {rating.reward:.2f}{waits}")


def _number(score: str) -> float:
    try:
        return _WORDS[score] if score in _WORDS else float(score)
    except ValueError:
        raise SettingError(
            f"a score must be up, down or a number from 0 to 1, got {score!r}; write up for a "
            "right answer"
        ) from None

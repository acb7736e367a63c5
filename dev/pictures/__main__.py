"""Pictures for the docs, from real runs: ``python -m dev.pictures``.

Two runs of the bundled model, each kept as JSON beside its picture: a day of test questions, a
night and the next day; and one question's path from draft to answer. It lies with the demo, whose
code it runs: the teaching package does without a chat model.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from dev.bench.pictures import require_drawing
from dev.pictures.days_picture import draw_days
from dev.pictures.path_picture import draw_path
from latent_agent.call.agent import reward_for
from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.cli.night_demo import DAY, consolidated
from latent_agent.cli.rows import answer, draw
from latent_agent.reward import Case, Reward, Score
from latent_agent.settings import settings_for
from latent_agent.teaching import Question, is_right
from latent_memory import LatentMemory

_COLD = 4  # every so-manyth question is asked without a memory too
_PATHS = 56  # questions among which a path is looked for
_STEPS = 3  # that it has at least


class Watched(Reward):
    """A reward that notes what it judged; it is asked at each step, seen answers included."""

    deterministic = False

    def __init__(self, reward: Reward) -> None:
        self.reward = reward
        self.seen: list[tuple[str, float]] = []

    def score(self, case: Case) -> Score:
        """Judge as the reward does."""
        score = self.reward.score(case)
        self.seen.append((case.answer, score.value))
        return score


def day_night_day(asked: Sequence[Question]) -> dict[str, Any]:
    """Ask half of the questions, let a night pass, and ask the others; the memory learns on.

    Returns:
        Steps of every question by day, steps without a memory of every fourth, and the night.
    """
    chat = ChatLatentSeek(model="bundled", memory=None)
    with (
        tempfile.TemporaryDirectory() as folder,
        LatentMemory(Path(folder) / "days.sqlite3") as memory,
    ):
        warm = chat.model_copy(update={"memory": memory})
        first = [answer(warm, question).steps for question in _told("day 1", asked[:DAY])]
        night = consolidated(chat, memory)
        second = [answer(warm, question).steps for question in _told("day 2", asked[DAY:])]
    cold = [answer(chat, question).steps for question in _told("cold", asked[::_COLD])]
    return {
        "days": [first, second],
        "without": cold,
        "night": {"verdict": night.verdict, "reason": night.reason},
    }


def one_path(asked: Sequence[Question]) -> dict[str, Any]:
    """Return the first search of at least three steps that turns a wrong draft right."""
    search = settings_for("default")
    judge = reward_for(search)
    for question in _told("path", asked):
        watched = Watched(judge)
        chat = ChatLatentSeek(model="bundled", memory=None, reward=watched)
        steps = answer(chat, question).steps
        seen = watched.seen
        if (
            steps >= _STEPS
            and not is_right(question, seen[0][0])
            and is_right(question, seen[-1][0])
        ):
            rounds = [{"text": text, "reward": reward} for text, reward in seen]
            return {"question": question.text, "threshold": search.threshold, "rounds": rounds}
    raise LookupError(f"no search of {_STEPS} steps among {len(asked)} questions; ask more")


def _told(name: str, asked: Sequence[Question]) -> Any:
    return track(asked, name, console=Console(stderr=True))


def pictures(
    out: Annotated[Path, typer.Option(help="A folder; files there are replaced.")] = Path(
        "docs/pictures"
    ),
    seed: Annotated[int, typer.Option(help="Which questions are drawn.", min=0)] = 0,
) -> None:
    """Draw days.png and path.png from runs of the bundled model on test questions."""
    require_drawing("the command", "look at the pictures that are there")
    out.mkdir(parents=True, exist_ok=True)
    runs: list[tuple[str, Callable[[Sequence[Question]], dict[str, Any]], Any, int]] = [
        ("path", one_path, draw_path, _PATHS),
        ("days", day_night_day, draw_days, 2 * DAY),
    ]
    for name, run, picture, count in runs:
        found = {**run(draw("test", count, seed)), "seed": seed}
        (out / f"{name}.json").write_text(json.dumps(found) + "\n", "utf-8")
        picture(found, out / f"{name}.png")
        typer.echo(f"{out / name}.png")


if __name__ == "__main__":
    typer.run(pictures)

"""The docs' pictures: what their runs find, and that the figures beside them draw."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dev.pictures.__main__ import one_path
from dev.pictures.days_picture import draw_days, running_mean
from dev.pictures.path_picture import draw_path, marked
from dev.pool.picture import drawn
from latent_agent.cli.rows import draw
from latent_agent.errors import EvaluationError
from latent_agent.teaching import is_right

README = Path(__file__).parents[2] / "README.md"
PICTURES = README.parent / "docs" / "pictures"


def test_a_path_leads_from_a_wrong_draft_to_a_right_answer(tmp_path: Path) -> None:
    asked = draw("test", 2, 0)
    found = one_path(asked)
    (question,) = (one for one in asked if one.text == found["question"])
    rounds = found["rounds"]
    assert [is_right(question, rounds[at]["text"]) for at in (0, -1)] == [False, True]
    assert rounds[0]["reward"] <= found["threshold"] < rounds[-1]["reward"]
    draw_path(found, tmp_path / "path.png")
    assert (tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")


def test_no_path_is_said() -> None:
    with pytest.raises(LookupError, match="among 0 questions"):
        one_path([])


@pytest.mark.parametrize(("name", "picture"), [("days", draw_days), ("path", draw_path)])
def test_the_kept_figures_draw(name: str, picture, tmp_path: Path) -> None:
    found = json.loads((PICTURES / f"{name}.json").read_text("utf-8"))
    assert found["seed"] == 0
    picture(found, tmp_path / "again.png")
    assert (tmp_path / "again.png").stat().st_size > 10_000


def test_running_means_have_no_half_filled_windows() -> None:
    assert running_mean([1.0, 2.0, 3.0, 6.0], over=2) == [1.5, 2.5, 4.5]
    assert running_mean([1.0], over=2) == []


def test_changed_words_are_marked_where_they_stand() -> None:
    found = list(marked("add. 48 + 40 = 88", "subtract. 48 - 40 = 8"))
    assert [word for word, new in found if new] == ["add.", "+", "88"]
    assert not any(new for _, new in marked("a b", None))


def test_the_rewards_picture_is_what_its_command_draws(tmp_path: Path) -> None:
    """The command is the README's own."""
    (words,) = re.findall(r"`python -m (dev\.pool picture [^`]*)`", README.read_text("utf-8"))
    _, _, found, _, kept, *rest = shlex.split(words)
    again = tmp_path / "again.svg"
    asked = [sys.executable, "-m", "dev.pool", "picture", found, "--out", str(again), *rest]
    subprocess.run(asked, check=True, cwd=README.parent)
    assert again.read_text("utf-8") == (README.parent / kept).read_text("utf-8")


def test_a_reward_that_is_not_in_the_table_is_refused() -> None:
    (pool,) = json.loads((PICTURES / "rewards.json").read_text("utf-8"))["pools"]
    with pytest.raises(EvaluationError, match=r"one of agreement, .*got luck"):
        drawn(pool, ["luck"])

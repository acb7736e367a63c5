"""What every command that opens a model takes, and what it shows while the weights are read."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from latent_agent.cli import app
from latent_agent.cli.load_line import load_line
from latent_agent.model.load_watch import watching_loads
from latent_agent.model.options import LOAD_OPTIONS, LoadOptions
from latent_agent.model.places import bundled_path
from latent_agent.model.registry import open_model

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
OF_COMMANDS = {name for name in LOAD_OPTIONS if name != "model_kwargs"}


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))
OPENING = {name for name, one in COMMANDS.items() if "model" in {p.name for p in one.params}}


def test_every_command_that_opens_a_model_says_how() -> None:
    assert {"ask", "demo", "evaluate", "calibrate", "consolidate", "doctor"} < OPENING
    for name in OPENING:
        assert {one.name for one in COMMANDS[name].params} >= OF_COMMANDS, name


@pytest.mark.parametrize("command", sorted(OPENING))
def test_a_bad_option_is_told(command: str) -> None:
    words = [*command.split(), "--threads", "4096"]
    if command in ("ask", "memory show"):
        words.append("1")
    result = CliRunner().invoke(app, words)
    assert re.search(r"threads must be .*got 4096; give", str(result.exception))


def test_the_options_reach_the_model(tmp_path: Any) -> None:
    given = ["--no-memory", "--dtype", "bfloat16", "--max-iterations", "0", "--max-tokens", "4"]
    with watching_loads(load_line):
        result = CliRunner().invoke(app, ["ask", QUESTION, *given])
    assert result.exit_code == 0
    assert re.match(r"loading bundled, 2 MB, bfloat16 \.\.\. \d+\.\d s\n", result.stderr)


def test_ask_shows_the_draft_as_it_is_made() -> None:
    result = CliRunner().invoke(app, ["ask", QUESTION, "--no-memory"])
    draft = "We count on. Monday + 3 days = Thursday. The answer is Thursday."
    assert f" draft {draft}\n" in result.stderr
    assert result.stdout == "We count back. Monday - 3 days = Friday. The answer is Friday.\n"


def test_a_load_is_one_line(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "copied, model"
    folder.symlink_to(bundled_path())
    with watching_loads(load_line):
        open_model(folder, None, LoadOptions(threads=1)).engine()
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"loading copied, model, 2 MB, float32 \.\.\. \d+\.\d s\n", said.err)


def test_a_load_that_fails_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), load_line("owner/model", "float32"):
        raise KeyError
    assert capsys.readouterr().err == "loading owner/model, float32 ...\n"


def test_nothing_is_shown_outside_commands(capfd: pytest.CaptureFixture[str]) -> None:
    open_model("bundled", None, LoadOptions(threads=1, dtype="float64")).engine()
    assert capfd.readouterr() == ("", "")

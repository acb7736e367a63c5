"""Every help text fills the lines of a terminal, and nothing of it is cut off."""

import subprocess
import sys
from itertools import pairwise

import pytest
import typer

from latent_agent.cli import app


def words_of_all() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(command: object, words: tuple[str, ...]) -> None:
        found.append(words)
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


@pytest.fixture(scope="module")
def helps() -> dict[tuple[str, ...], str]:
    """Every command's help at 80 columns, from one process."""
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from latent_agent.cli import app\n"
        "for words in sys.argv[1:]:\n"
        "    done = CliRunner().invoke(app, [*words.split(), '--help'])\n"
        "    assert done.exit_code == 0, done.output\n"
        "    print('\\f' + words + '\\v' + done.output)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *(" ".join(words) for words in words_of_all())],
        env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    parts = (part.partition("\v") for part in done.stdout.split("\f")[1:])
    return {tuple(words.split()): text for words, _, text in parts}


def test_no_help_is_cut_or_too_wide(helps: dict[tuple[str, ...], str]) -> None:
    assert set(helps) == set(words_of_all())
    for words, text in helps.items():
        assert "…" not in text, words
        assert max(map(len, text.splitlines())) <= 80, words


def test_paragraphs_fill_their_lines(helps: dict[tuple[str, ...], str]) -> None:
    """A line is left early only where the next word would not have fitted, or a paragraph ends."""
    for words, text in helps.items():
        lines = text.partition("\n\n")[2].partition("╭")[0].splitlines()
        prose = [line.strip() for line in lines]
        for line, after in pairwise(prose):
            if line and after:
                assert len(line) + 1 + len(after.split()[0]) > 77, (words, line)

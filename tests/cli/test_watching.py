"""Progress: one line on a terminal, now and then a line in a log, nothing if it is not wanted."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from latent_agent.cli import app
from latent_agent.cli.watching import Lines, Watcher, watching


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.splitlines()


def test_a_log_has_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    watcher = Watcher(Lines(clock), clock)
    for done in range(1, 3601):  # an hour, one question a second
        watcher.spent(250)
        watcher("answering", done, 3600)
        clock.now += 1
    said = lines_of(capsys)
    assert said[:4] == [
        "answering: 1 of 3600",
        "answering: 11 of 3600, 250 tokens/s, 60 min left",
        "answering: 31 of 3600, 250 tokens/s, 59 min left",
        "answering: 71 of 3600, 250 tokens/s, 59 min left",
    ]
    assert len(said) == 12  # ever more seldom, and at least each ten minutes
    assert said[-1] == "answering: 3600 of 3600, 250 tokens/s"


def test_the_pace_is_that_of_the_last_minute_and_of_this_sitting() -> None:
    """What an earlier sitting had done, and a slow beginning, count for nothing."""
    clock, paces = Clock(), list[str]()
    watcher = Watcher(lambda _stage, _done, _total, pace: paces.append(pace), clock)
    watcher("judging", 500, 1000)
    for done in range(501, 506):
        clock.now += 60
        watcher("judging", done, 1000)
    assert paces[:2] == ["", "8 h 19 min left"]
    for done in range(506, 990):
        clock.now += 1
        watcher("judging", done, 1000)
    assert paces[-1] == "11 s left"


def test_a_new_stage_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with watching() as report:
        report("training", 1, 9)
        report("training", 2, 9)
        report("judging", 1, 9)
    assert lines_of(capsys) == ["training: 1 of 9", "judging: 1 of 9"]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(quiet=True) as report:
        report("training", 1, 9)
        report.spent(5)
    assert lines_of(capsys) == []


PROGRAM = """
import time
from latent_agent.cli.watching import watching
with watching() as report:
    for stage in ("training", "judging"):
        for done in range(1, 5):
            report.spent(100)
            report(stage, done, 4)
            time.sleep(0.3)
"""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="the system has no pseudo-terminals")
def test_on_a_terminal_it_is_one_line_that_is_rewritten() -> None:
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "24"}
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=theirs, env=environment, check=True)
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 65536)
        except OSError:  # all is read
            break
        if len(written) > 10**6:
            break
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    assert "training: 4 of 4" in text
    assert re.search(r"judging: [34] of 4 .* [\d,]+ tokens/s", text)
    assert text.count("\n") <= 2
    assert "training: 1 of 4" in text.replace("\r", "\n")


@pytest.mark.parametrize(
    ("words", "stage"),
    [
        (("evaluate", "--methods", "greedy", "--questions", "2"), "answering: 1 of 2"),
        (("calibrate", "--questions", "10", "--samples", "2"), "scoring: 1 of 10"),
    ],
    ids=["evaluate", "calibrate"],
)
def test_commands_show_progress_unless_they_are_told_not_to(
    words: tuple[str, ...], stage: str, tmp_path: Path
) -> None:
    for number, option in enumerate(((), ("--quiet",), ("--json",))):
        out = ["--out", str(tmp_path / str(number)), "--max-tokens", "8", *option]
        result = CliRunner().invoke(app, [*words, *out])
        assert result.exit_code == 0, result.output
        if option:
            assert result.stderr == ""
        else:
            assert stage in result.stderr

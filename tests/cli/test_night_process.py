"""A night as a process: limits, signals, kills, priority, exit codes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latent_agent.call.agent import default_reward
from latent_agent.cli.night_process import exit_code_of, low_priority, stopped_by_signals
from latent_agent.errors import ModelError, NightStoppedError, SettingError
from latent_agent.nights.job import NightJob, NightReport
from latent_memory import LatentMemory, Shelf
from latent_memory.priors.nights import list_nights
from latent_memory.sqlite import kept_paths
from tests.support.night_commands import COMMAND, printed, run

SHELF = Shelf(namespace="default", fingerprint="f", reward="r")


def codes(*verdicts: str) -> tuple[int, int]:
    reports = [NightReport(shelf=SHELF, verdict=verdict, reason="") for verdict in verdicts]
    return exit_code_of(reports, detailed=False), exit_code_of(reports, detailed=True)


def test_every_outcome_has_its_code() -> None:
    assert codes("published") == codes("planned") == (0, 0)
    assert codes("refused") == (0, 6)
    assert codes("idle") == (0, 7)
    assert codes("unjudged") == (5, 5)
    assert codes("refused", "published") == (0, 0)
    assert codes("idle", "refused") == (0, 6)
    assert codes("published", "unjudged") == (5, 5)


def test_what_was_published_before_a_stop_is_told(memory: Path) -> None:
    """Of two rewards' nights: the second is stopped."""
    with LatentMemory(memory) as opened:
        shelf = opened.shelves()[0].shelf
        other = replace(shelf, reward=default_reward("grades").id)
        opened.add_many([replace(one.trace, shelf=other) for one in list(opened.stream(shelf))])
    seen: list[str] = []

    def night(job: NightJob) -> NightReport:
        if seen:
            raise NightStoppedError("the night was stopped; it goes on")
        seen.append(job.shelf.reward)
        return NightReport(shelf=job.shelf, verdict="published", reason="")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latent_agent.nights.night.consolidate", night)
        result = run("consolidate", "--memory", memory, "--json")
    assert result.exit_code == 4
    (told,) = json.loads(result.stdout)["nights"]
    assert told["shelf"]["reward"] == seen[0]


def test_the_help_names_them_all() -> None:
    text = " ".join(run("consolidate", "--help").stdout.replace("│", " ").split())
    for said in ("0 published", "6 refused", "7 nothing to do", "3 another night", "4 stopped"):
        assert said in text


def test_a_night_without_work_says_so_by_its_code(memory: Path) -> None:
    waiting = ("consolidate", "--memory", memory, "--if-new", 100_000)
    assert run(*waiting).exit_code == 0
    assert run(*waiting, "--exit-code").exit_code == 7


@pytest.mark.parametrize("minutes", ["0", "-3", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(memory: Path, minutes: str) -> None:
    result = run("consolidate", "--memory", memory, "--max-minutes", minutes)
    assert isinstance(result.exception, SettingError)
    assert f"max_minutes must be a finite number above 0, got {float(minutes)!r}" in str(
        result.exception
    )
    with LatentMemory(memory) as opened:
        assert list_nights(opened.database) == []


def test_more_threads_than_cores_are_refused(memory: Path) -> None:
    result = run("consolidate", "--memory", memory, "--threads", "4096")
    assert isinstance(result.exception, ModelError)
    assert "got 4096; give" in str(result.exception)


def test_the_prior_too_is_trained_on_so_many_threads(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from latent_agent.nights import night

    seen: list[int] = []
    fit = night.fit

    def noted(*arguments: Any) -> Any:
        seen.append(torch.get_num_threads())
        return fit(*arguments)

    monkeypatch.setattr(night, "fit", noted)
    torch.set_num_threads(2)
    try:
        run("consolidate", "--memory", memory, "--threads", "1", "--calls", 16)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert seen == [1]


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_a_quiet_night_says_nothing_on_stderr(memory: Path, option: str) -> None:
    result = run("consolidate", "--memory", memory, "--calls", 16, option)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout != ""


@pytest.mark.usefixtures("interruptible")
def test_a_second_signal_has_its_usual_effect() -> None:
    with stopped_by_signals() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="the system has no nice")
def test_the_priority_is_lowered_and_never_raised() -> None:
    program = (
        "import os; from latent_agent.cli.night_process import low_priority\n"
        "with low_priority(): print(os.getpriority(os.PRIO_PROCESS, 0))"
    )
    for before, within in ((0, 10), (15, 15)):
        command = ["nice", "-n", str(before), sys.executable, "-c", program]
        printed_ = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert int(printed_) == max(min(own + before, 19), within)


def test_where_there_is_no_nice_a_night_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "setpriority", raising=False)
    with low_priority():
        pass


# ------------------------------------------------------------------------- whole processes


@pytest.mark.slow
def test_nights_of_three_seconds_come_to_an_end(memory: Path) -> None:
    """Each is stopped at its limit, and goes on where the one before it was."""
    limit = ("--max-minutes", "0.05", "--calls", 120, "--set", "max_iterations=10")
    found = [run("consolidate", "--memory", memory, *limit, "--json")]
    while found[-1].exit_code == 4 and len(found) < 40:
        assert "at its time limit" in found[-1].stderr
        found.append(run("consolidate", "--memory", memory, *limit, "--json"))
    assert (found[-1].exit_code, len(found) > 1) == (0, True)
    (night,) = json.loads(found[-1].stdout)["nights"]
    assert night["verdict"] in ("published", "refused")
    assert night["figures"]["kept"]["updates"] > 0
    with LatentMemory(memory) as opened:
        assert kept_paths(opened.path) == []


def started(memory: Path, *options: object) -> subprocess.Popen[str]:
    words = ["consolidate", "--memory", str(memory), *map(str, options)]
    return subprocess.Popen(
        [*COMMAND, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(process: subprocess.Popen[str], stage: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(stage):
            return
    pytest.fail(f"it ended before {stage}")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_next_night_goes_on_from_a_process_that_was_ended(memory: Path, number: int) -> None:
    with started(memory) as process:
        wait_for(process, "judging")
        process.send_signal(number)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 4)
    assert ("goes on from what was done" in said) == (number != signal.SIGKILL)
    assert printed("memory", "verify", "--memory", memory)["problems"] == []
    (night,) = printed("consolidate", "--memory", memory)["nights"]
    assert (night["verdict"], night["night"], night["version"]) == ("published", 1, 1)
    assert night["figures"]["kept"]["updates"] == night["figures"]["updates"]
    assert (night["figures"]["kept"]["replays"] > 0) == (number != signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads Linux's /proc")
@pytest.mark.parametrize("options", [(), ("--priority", "normal")])
def test_all_threads_of_a_night_have_its_priority(memory: Path, options: Sequence[str]) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with started(memory, *options) as process:  # in a session of its own, as under cron
        wait_for(process, "judging")
        session = Path(f"/proc/{process.pid}/autogroup")
        weighed = session.read_text().split()[-1] if session.is_file() else None
        found = {
            os.getpriority(os.PRIO_PROCESS, int(thread.name))
            for thread in Path(f"/proc/{process.pid}/task").iterdir()
        }
        process.terminate()
    assert found == {own if options else max(own, 10)}
    assert weighed is None or int(weighed) == (0 if options else max(own, 10))


def test_a_schedule_refuses_a_limit_that_is_none_before_it_waits(memory: Path) -> None:
    wrong = ("--schedule", "0 3 * * *", "--max-minutes", "0")
    assert isinstance(run("consolidate", "--memory", memory, *wrong).exception, SettingError)

"""``latent-agent demo``: what it asks, what it counts, and what it lets a terminal see."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from latent_agent.cli import app
from latent_agent.cli.demo_table import last_rows, show_sums
from latent_agent.cli.rows import Row, by_family, figures
from latent_agent.errors import EvaluationError, SettingError

ASKED = "Each day Eva counts 6 birds. How many birds is that after 7 days?"


def run(*words: str) -> Any:
    done = CliRunner().invoke(app, ["demo", *words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def lines(file: Path, *truths: str) -> str:
    rows = [json.dumps({"question": ASKED, "answer": truth}) for truth in truths]
    file.write_text("\n".join(rows), "utf-8")
    return str(file)


def test_it_asks_ones_own_questions(tmp_path: Path) -> None:
    found = json.loads(run("--data", lines(tmp_path / "q.jsonl", "42", "43"), "--json").stdout)
    assert (found["questions"], found["final_accuracy"]) == (2, 0.5)
    assert found["data"].endswith("q.jsonl")


def test_what_is_known_can_judge_them(tmp_path: Path) -> None:
    data = lines(tmp_path / "q.jsonl", "43")
    words = ("--data", data, "--reward", "psrm", "--max-iterations", "2", "--json")
    assert json.loads(run(*words).stdout)["mean_steps"] == 2  # no answer of the model's is 43


def test_ones_own_questions_have_no_days(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="leave them out"):
        run("--data", lines(tmp_path / "q.jsonl", "42"), "--night")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="give the path of one"):
        run("--data", str(tmp_path / "none.jsonl"))


def test_it_prints_a_screen() -> None:
    told = run("--questions", "7").stdout.splitlines()
    assert len(told) <= 32
    assert all(len(line) <= 80 for line in told)


def row(question: str, final: str, *, drafted: bool, right: bool) -> Row:
    return Row(
        question=question, family="", planted=False, draft="1", final=final, draft_right=drafted,
        final_right=right, rewards=[[-1.0], [-0.5, 0.0]], steps=1, stopped="threshold",
        source="search", forwarded={"draft": 3, "refine": 0, "judge": 2},
    )  # fmt: skip


def shown(rows: list[Row]) -> str:
    out = StringIO()
    console = Console(file=out, width=80, force_terminal=False)
    console.print(last_rows(rows))
    sums = {
        **figures(rows),
        "forwarded_tokens": {"draft": 3 * len(rows), "refine": 0, "judge": 2 * len(rows)},
        "families": by_family([(one,) for one in rows], lambda some: figures([r for (r,) in some])),
    }
    show_sums(console, sums, rows)
    return out.getvalue()


def test_it_counts_what_was_fixed_and_what_was_broken() -> None:
    told = shown(
        [
            row("a", "2", drafted=False, right=True),
            row("b", "2", drafted=True, right=False),
            row("c", "2", drafted=False, right=False),
        ]
    )
    assert "became right: 1; right and became wrong: 1" in told
    assert "tokens a question: 5 (3 draft, 0 refine, 2 judge)" in told


def test_texts_of_models_and_files_are_no_markup_and_no_commands() -> None:
    told = shown([row("[red]b\x1b[2J", "[/red]x\ny", drafted=True, right=True)])
    assert "[red]b" in told
    assert "[/red]x y" in told
    assert "\x1b" not in told


def test_a_long_answer_keeps_its_mark_and_a_line() -> None:
    told = shown([row("why " * 60, "because " * 30, drafted=True, right=False)])
    (line,) = (line for line in told.splitlines() if "why" in line)
    assert len(line) <= 80
    assert "✗ because" in line

"""``latent-agent memory show``: one trace drawn, by the model that made it."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from latent_agent import ChatLatentSeek
from latent_agent.call.redraft import redraft
from latent_agent.cli import app
from latent_agent.cli.trace_view import compared, draw, rounds
from latent_agent.model.registry import open_model
from latent_memory import LatentMemory, StoredTrace
from tests.support.memories import trace

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
HOSTILE = "[red]why[/red] <script>x</script> \x1b[2J\x1b]0;taken\x07"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory that the bundled model filled: a search, and what started from it."""
    path = tmp_path_factory.mktemp("shown") / "m.sqlite3"
    with LatentMemory(path) as memory:
        chat = ChatLatentSeek(model="bundled", memory=memory)
        chat.invoke(QUESTION)
        chat.invoke(QUESTION.replace("Tom", "Ann"))
    return path


def shown(path: Path, id_: int, *words: str, columns: int = 80) -> str:
    """Show a trace in a pipe."""
    arguments = ["memory", "show", str(id_), "--memory", str(path), *words]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, (result.output, result.exception)
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout
    return result.stdout


def stored(path: Path, id_: int) -> StoredTrace:
    with LatentMemory(path, mode="read") as memory:
        found = memory.get(id_)
    assert found is not None
    return found


def test_draft_and_answer_stand_side_by_side(path: Path) -> None:
    output = shown(path, 1)
    assert max(map(len, output.splitlines())) <= 80
    row = next(line for line in output.splitlines() if "We count" in line)
    assert "[-on-]" in row
    assert "{+back+}" in row
    assert "[-' on'-] > {+' back'+}" in output
    assert "Warm start none" in output
    assert "ended by: threshold" in output


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_it_fits_the_width(path: Path, columns: int) -> None:
    for id_ in (1, 2):
        assert max(map(len, shown(path, id_, columns=columns).splitlines())) <= columns


def test_a_warm_start_names_what_it_started_from(path: Path) -> None:
    output = shown(path, 2)
    assert "trace 1, reward 0.00: Today is Monday." in output
    found = stored(path, 2).trace
    assert [reward for _, reward in rounds(found)] == list(found.rewards)


def test_the_draft_is_the_one_that_was_written(path: Path) -> None:
    found = stored(path, 1).trace
    trace_ = ChatLatentSeek(model="bundled", memory=None).invoke(QUESTION)
    made = redraft(found, open_model("bundled"), "bundled")
    assert made.text == trace_.response_metadata["latent_agent"]["draft"]
    assert len(made.before) == len(made.after) == len(found.tokens)
    assert made.before != made.after


@pytest.mark.parametrize("token", [10**6, 2**62])
def test_a_token_that_the_model_does_not_have_is_named(path: Path, token: int) -> None:
    found = stored(path, 1).trace
    made = redraft(replace(found, tokens=(token,)), open_model("bundled"), "bundled")
    assert made.after == [f"unknown token {token}"]


def test_another_models_trace_is_shown_without_its_draft(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.add(trace(1, query=HOSTILE, answer=HOSTILE, stopped="\x1b[31mwhy"))
        memory.add(trace(2, query=None, answer=None))
    output = shown(path, 1)
    assert "not shown: a draft is shown by the model that made it" in " ".join(output.split())
    assert "[red]why[/red] <script>x</script>" in output
    assert shown(path, 2).count("not stored") == 2


def test_json_is_what_it_was_and_asks_no_model(path: Path) -> None:
    output = shown(path, 1, "--json", "--model", "no/such-model")
    assert output.count("\n") == 1
    told = json.loads(output)
    assert list(told) == [
        *("id", "created", "namespace", "fingerprint", "reward", "query", "answer", "score"),
        *("rewards", "steps", "stopped", "neighbours", "prior", "tokens", "latents", "moved"),
        *("conversation", "settings", "rating", "feedback"),
    ]
    assert (told["query"], told["rewards"]) == (
        QUESTION,
        [list(one) for one in stored(path, 1).trace.rewards],
    )


def test_words_that_changed_are_marked() -> None:
    gone, new = compared("We count on. 3 + 1", "We count back. 3 - 1", marks=True)
    assert gone.plain == "We count [-on-]. 3 [-+-] 1"
    assert new.plain == "We count {+back+}. 3 {+-+} 1"
    coloured, _ = compared("a b", "a c", marks=False)
    assert coloured.plain == "a b"
    assert [str(span.style) for span in coloured.spans] == ["bold red"]


def test_bars_are_ascii_where_the_terminal_needs_it(path: Path) -> None:
    class Old(StringIO):
        encoding = "ascii"

    out = Old()
    found = stored(path, 1)
    Console(file=out, width=80).print(draw(found, [], "none", marks=True))
    assert "###" in out.getvalue()
    assert out.getvalue().isascii()
    assert re.search(r"step \d+ +0\.00 #{24}", out.getvalue())


def test_many_rewards_are_cut_and_equal_ones_joined() -> None:
    one = trace(1, steps=4, rewards=((-1.0,), (-0.5,), (-0.5,), (-0.5,), (-0.125,)))
    assert [name for name, _ in rounds(one)] == ["draft", "steps 1-3", "step 4"]
    between = ((-0.5 - at / 200,) for at in range(59))
    many = trace(1, steps=60, rewards=((-1.0,), *between, (-0.125,)))
    found = StoredTrace(id=1, created=datetime.now(UTC), trace=many)
    out = StringIO()
    Console(file=out, width=80).print(draw(found, [], "none", marks=True))
    assert "more; --json has them all" in out.getvalue()

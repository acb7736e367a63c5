"""``latent-agent chat``: through a pipe, at a terminal, and with a server that is not ours."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from typer.testing import CliRunner, Result

from latent_agent.cli import app
from latent_agent.cli.conversation.at_server import AtServer
from latent_agent.cli.conversation.lines import Typed
from latent_agent.cli.conversation.screen import Growing, Screen
from latent_agent.cli.conversation.talk import COMMANDS, Talk
from latent_agent.errors import LatentAgentError, SettingError
from latent_memory import LatentMemory
from tests.support.foreign_server import KEY, Foreign, foreign_server
from tests.support.terminal_process import AtTerminal

ROOT = Path(__file__).parents[2]
QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
MAIN = "from latent_agent.cli import main; main()"
ANSWER = "We count back. Monday - 3 days = Friday. The answer is Friday."


def piped(memory: Path, *lines: str, words: tuple[str, ...] = ()) -> Result:
    given = "".join(f"{line}\n" for line in lines)
    return CliRunner().invoke(app, ["chat", "--memory", str(memory), *words], input=given)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.sqlite3"


def test_answers_alone_go_to_stdout(path: Path) -> None:
    result = piped(path, QUESTION, "", "/new", QUESTION)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{ANSWER}\n{ANSWER}\n"


def test_why_tells_what_was_searched_and_recalled(path: Path) -> None:
    first, then = piped(path, QUESTION, "/why", "/new", QUESTION, "/why").stdout.split(ANSWER)[1:]
    assert "5, stopped by threshold" in first
    assert "search; stored as trace 1" in first
    assert "judge" in first
    assert "memory; recalled traces 1; stored as trace 2" in then
    assert f"trace 1    {QUESTION[:40]}" in then


def test_the_last_answer_is_rated_and_corrected(path: Path) -> None:
    result = piped(path, QUESTION, "/up well put", "/down", "/correct It was on Friday.")
    assert result.exit_code == 0, result.output
    assert "reward of 0.00" in result.stderr
    assert "reward of -1.00" in result.stderr
    assert "The correction is read already" in result.stderr
    with LatentMemory(path) as memory:
        said = [one.feedback for one in memory.feedback(1)]
    assert [one.score for one in said] == [1.0, 0.0, 0.0]
    assert [one.comment for one in said] == ["well put", None, None]
    assert said[2].correction == "It was on Friday."


def test_a_conversation_goes_on_from_a_correction_until_a_new_one(path: Path) -> None:
    piped(path, QUESTION, "/correct Friday.", "And then?", "/new", QUESTION)
    with LatentMemory(path) as memory:
        asked = [memory.get(info.id) for info in memory.list(limit=9)]
    asked_of = {str(one.trace.conversation) for one in asked if one is not None}
    assert any("Friday." in one and "And then?" in one for one in asked_of)
    assert not any("And then?" in one and ANSWER in one for one in asked_of)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["/up"], "there must be an answer first"),
        (["/why"], "there must be an answer first"),
        ([QUESTION, "/new", "/down"], "there must be an answer first"),
        ([QUESTION, "/correct"], "write: /correct THE RIGHT ANSWER"),
        (["/bla \x1b[31m"], "needs a space before it"),
        (["word " * 3000], "the prompt must"),
    ],
)
def test_what_comes_to_nothing_is_told_and_counted(path: Path, lines: list[str], said: str) -> None:
    result = piped(path, *lines)
    assert said in result.stderr
    assert "\x1b" not in result.output
    assert result.exit_code == 1


def test_an_unchanged_correction_is_not_kept(path: Path) -> None:
    assert "nothing is kept" in piped(path, QUESTION, f"/correct {ANSWER}").stderr
    with LatentMemory(path) as memory:
        assert memory.feedback(1) == []


def test_without_a_memory_nothing_is_rated(path: Path) -> None:
    result = CliRunner().invoke(app, ["chat", "--no-memory"], input=f"{QUESTION}\n/up\n")
    assert "there is no memory" in result.stderr
    assert result.exit_code == 1


def test_a_line_that_begins_with_a_space_or_a_path_is_a_question(path: Path) -> None:
    result = piped(path, " /up", "/etc/passwd")
    assert len(result.stdout.splitlines()) == 2
    assert result.exit_code == 0


def test_quit_ends_it(path: Path) -> None:
    assert piped(path, "/quit", QUESTION).stdout == ""


def test_a_terminal_needs_prompt_toolkit_and_a_pipe_does_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    with pytest.raises(SettingError, match=r"pip install 'latent-agent\[chat\]'"):
        Typed(COMMANDS)
    assert piped(path, QUESTION).stdout == f"{ANSWER}\n"


def test_options_of_a_model_here_are_refused_beside_a_server(path: Path) -> None:
    words = ("--url", "http://127.0.0.1:9", "--threads", "1")
    said = str(piped(path, words=words).exception)
    assert "--memory, --threads; leave them out" in said


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    result = CliRunner().invoke(app, ["chat", "--url", url], input="")
    assert isinstance(result.exception, SettingError)


def test_an_answer_grows_within_the_screen() -> None:
    growing, screen = Growing(), Screen(terminal=True)
    growing.show("draft", "gone ")
    growing.show("answer", "word\x1b[31m " * 3000)
    growing.show("answer", "the end")
    console = screen._out
    console.size = (40, 10)  # pyright: ignore[reportAttributeAccessIssue]
    with console.capture() as capture:
        console.print(growing)
    shown = capture.get().splitlines()
    assert len(shown) <= 10
    assert max(map(len, shown)) <= 40
    assert "the end" in capture.get()
    assert "\x1b" not in capture.get()
    assert "gone" not in capture.get()


# ------------------------------------------------------------------------------- typed lines


@pytest.fixture
def typed() -> Iterator[Callable[[str], Typed]]:
    with create_pipe_input() as keys:

        def typed(text: str) -> Typed:
            keys.send_text(text)
            return Typed(COMMANDS, input=keys, output=DummyOutput())

        yield typed


def test_enter_ends_a_line_and_alt_enter_or_a_paste_breaks_it(
    typed: Callable[[str], Typed],
) -> None:
    lines = typed("one\x1b\rtwo\r\x1b[200~three\nfour\x1b[201~\r\x03\x04")
    assert (lines.next(), lines.next()) == ("one\ntwo", "three\nfour")
    with pytest.raises(KeyboardInterrupt):
        lines.next()
    with pytest.raises(EOFError):
        lines.next()


def test_an_answer_is_edited_on_the_line(typed: Callable[[str], Typed]) -> None:
    assert (
        typed("\x7f\x7f\x7fsun\r").edited("It was a Friday, the son") == "It was a Friday, the sun"
    )


# ------------------------------------------------------------------ a server that is not ours


@pytest.fixture
def server(socket_enabled: None) -> Iterator[Foreign]:
    with foreign_server() as server:
        yield server


def at(server: Foreign, *lines: str, words: tuple[str, ...] = (), key: str = KEY) -> Result:
    given = "".join(f"{line}\n" for line in lines)
    asked = ["chat", "--url", server.url, "--key", key, *words]
    return CliRunner().invoke(app, asked, input=given)


def test_any_server_answers(server: Foreign) -> None:
    result = at(server, "one", "two", "/why", words=("--temperature", "0.5", "--seed", "3"))
    assert result.exit_code == 0, result.output
    assert result.stdout == "You said: one\nYou said: two\n"
    assert "does not say how" in result.stderr
    asked = server.asked[1]
    assert [one["role"] for one in asked["messages"]] == ["user", "assistant", "user"]
    assert (asked["model"], asked["temperature"], asked["seed"]) == ("echo", 0.5, 3)
    assert asked.keys() == {"model", "messages", "stream", "temperature", "seed"}


@pytest.mark.parametrize(
    ("lines", "key", "words", "said"),
    [
        (["one"], "sk-wrong", (), "answered 401: who are you?; give --key"),
        (["fail"], KEY, (), "out of luck"),
        (["one", "/up"], KEY, (), "must come from a server of ours"),
    ],
)
def test_what_a_server_refuses_is_told(
    server: Foreign, lines: list[str], key: str, words: tuple[str, ...], said: str
) -> None:
    result = at(server, *lines, words=words, key=key)
    assert said in result.stderr
    assert "sk-" not in result.stderr
    assert result.exit_code == 1


def test_what_only_our_server_knows_is_not_sent_to_others(server: Foreign) -> None:
    result = at(server, "one", words=("--namespace", "ann"))
    assert "'namespace' must go to a server of latent-agent" in str(result.exception)
    assert server.asked == []


def test_a_wrong_path_and_a_server_that_is_not_there_are_told(server: Foreign) -> None:
    with (
        closing(AtServer(f"{server.url}/v2", None, None, {}, {})) as wrong,
        pytest.raises(LatentAgentError, match=r"404: no /v2/models .\[31mhere; see that --url"),
    ):
        wrong.open()
    with (
        closing(AtServer("http://127.0.0.1:9", None, None, {}, {})) as nobody,
        pytest.raises(LatentAgentError, match="see that it runs"),
    ):
        nobody.open()
    with pytest.raises(SettingError, match="printable ASCII") as caught:
        AtServer(server.url, "sk-secret\n", None, {}, {})
    assert "secret" not in str(caught.value)


def test_a_cut_answer_says_so(server: Foreign) -> None:
    assert "cut off" in at(server, "cut").stderr


class _Typist:
    """Types one question, and Ctrl-C in the middle of its answer."""

    terminal = True

    def __init__(self) -> None:
        self._lines = iter(["slowly", "two"])

    def next(self) -> str:
        line = next(self._lines, None)
        if line is None:
            raise EOFError
        return line

    def edited(self, text: str) -> str:
        return text


@pytest.mark.usefixtures("interruptible")
def test_a_cancelled_answer_frees_the_server(server: Foreign, capsys: Any) -> None:
    partner = AtServer(server.url, KEY, None, {}, {})
    partner.open()
    assert partner.title == f"echo at {server.url}/v1"
    stop = threading.Timer(0.4, lambda: __import__("_thread").interrupt_main())
    stop.start()
    with closing(partner):
        Talk(partner, _Typist(), Screen(terminal=True)).run()
    assert server.gone.wait(5)
    shown = capsys.readouterr().out
    assert "Stopped." in shown
    assert "You said: two" in shown


# ------------------------------------------------------------------------------ whole processes


@pytest.mark.slow
def test_a_started_process_talks_through_a_pipe(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "chat", "--memory", str(path)],
        input=f"{QUESTION}\n/why\n/nothing\n", capture_output=True, text=True, timeout=100,
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.startswith(f"{ANSWER}\n rewards")
    assert done.stderr.startswith("loading bundled")


@pytest.mark.slow
def test_a_terminal_shows_stops_rates_and_corrects(path: Path) -> None:
    reward = ("--reward", "tests.support.slow_reward:slow")
    with AtTerminal("chat", "--memory", str(path), *reward, cwd=ROOT) as terminal:
        terminal.wait_for("Ctrl-D leaves.")
        terminal.wait_for(">")
        terminal.type(f"{QUESTION}\r")
        terminal.wait_for("searching, round 2")
        terminal.type("\x03")
        terminal.wait_for("Stopped.")
        assert terminal.process.poll() is None
        terminal.type("/new\r")
        terminal.wait_for("A new conversation.")
        terminal.type(f"{QUESTION}\r")
        terminal.wait_for("10 rounds of search found nothing better, reward -1.00")
        terminal.type("/correct\r")
        terminal.wait_for("The answer is")
        terminal.type("\x15It was on Friday.\r")
        terminal.wait_for("Kept. The correction is read already")
        terminal.wait_for(">")  # a terminal that no prompt reads takes Ctrl-D for itself
        terminal.type("\x04")
        assert terminal.ended() == 0
    with LatentMemory(path) as memory:
        (said,) = memory.feedback(1)
    assert said.feedback.correction == "It was on Friday."

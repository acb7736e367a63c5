"""Every example, as its reader would run it: a process of its own, an empty home, no network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

# What each one prints, in this order.
EXPECTED: dict[str, list[str]] = {
    "plain_chain.py": [
        r"at once: +\S.*The answer is Friday\.",
        r"in chunks: \S.*The answer is Wednesday\.",
        r"in a batch: .*The answer is Wednesday\.",
        r"in a batch: .*The answer is Friday\.",
    ],
    "rag.py": [
        r"each friend get\? -> .*The answer is 7\.",
        r"How many days is that\? -> .*The answer is 41\.",
        r"How many stamps are there\? -> .*The answer is 8\.",
    ],
    "tool_agent.py": [
        r"human: What is the weather in Rome\?",
        r"calls get_weather\(\{'city': 'Rome'\}\)",
        r"ai: ",
        r"tool: sunny",
        r"ai: The answer is sunny\.",
        r"human: What is 6 \* 7\?",
        r"calls multiply\(\{'a': 6, 'b': 7\}\)",
        r"ai: ",
        r"tool: 42",
        r"ai: The answer is 42\.",
        r"8 messages are kept in this thread",
    ],
    "structured_output.py": [
        r"about cats\. -> Joke\(setup='Why do cats sing\?', punchline='They are happy\.'\)",
        r"about dogs\. -> Joke\(setup='Why do dogs .*\?', punchline='.*\.'\)",
    ],
    "feedback.py": [
        r"ann is told: .*The answer is Thursday\.",
        r"ann rates it -1, ",
        r"bob is told: .*The answer is Thursday\.",
        r"bob rates it -1, ",
        r"ann asks again: .*The answer is Friday\.",
        r"  from memory",
        r"bob asks again: ",
        r"  from ",
    ],
    "own_questions.py": [
        r"6 questions of teaching_world\.jsonl",
        r"one greedy answer: \d right, \d+ tokens a question",
        r"a vote of several answers: \d right, \d+ tokens a question",
        r"a search, judged by the model: 6 right, \d+ tokens a question",
    ],
    "server_with_openai.py": [
        r"ann: .*The answer is Friday\.",
        r"  from search, recalled \[\]",
        r"ann: .*The answer is Friday\.",
        r"  from memory, recalled \[1\]",
        r"bob: .*The answer is Friday\.",
        r"  from search, recalled \[\]",
        r"bob's rating: ",
    ],
    "assistant_with_nights.py": [
        r"ann: \d.\d\d steps a question, \d.\d\d after a night\.",
        r"ann's night: published\. ",
        r"bob: \d.\d\d steps a question, \d.\d\d after a night\.",
        r"bob's night: published\. ",
        r"closest to '(.*)' for ann: '\1",
        r"closest to '(.*)' for bob: '(?!\1)",
    ],
}

_OFFLINE = """
import runpy, sys
from pytest_socket import socket_allow_hosts
socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", EXPECTED)
def test_it_runs_as_it_is(name: str, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _OFFLINE, str(EXAMPLES / name)],
        cwd=home,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    everything = ".*\n.*".join(EXPECTED[name])
    assert re.search(everything, done.stdout), done.stdout
    assert "Warning" not in done.stderr
    assert not list(home.rglob("*.sqlite3*")), "a memory was left behind"


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_says_what_to_change_for_a_real_model(name: str) -> None:
    source = (EXAMPLES / name).read_text("utf-8")
    assert 'MODEL = os.environ.get("MODEL", "bundled")' in source
    assert f"python examples/{name}" in source

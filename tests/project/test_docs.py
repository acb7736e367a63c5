"""The docs hold: every code block runs, and what is generated from the code is not stale."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import latent_agent
import latent_memory
from dev.settings_page import PAGE, page
from tests.conftest import move_home
from tests.support.code_blocks import Page
from tests.support.warm_command import warm_command

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
TUTORIAL = "docs/tutorial.md"
GENERATED = "docs/cli.md"
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").rglob("*.md"))
    if path.relative_to(ROOT).as_posix() != GENERATED
)

# What no test runs, by page: the block's first line and the reason that the page itself gives.
NOT_RUN: dict[str, list[str]] = {
    "ARCHITECTURE.md": [
        "LangChain messages: a drawing",
        "latent-agent consolidate, or ConsolidationScheduler in an application: a drawing",
    ],
    "README.md": [
        "git clone REPOSITORY latent-agent && cd latent-agent: "
        "REPOSITORY stands for where you found it",
        "from langchain_core.prompts import ChatPromptTemplate: a download",
        "make demo: makes .venv first",
        "make test: makes .venv first; CI runs it",
    ],
    "docs/evaluation.md": [
        "latent-agent evaluate --model MODEL --data QUESTIONS.jsonl --train OTHERS.jsonl "
        "--methods all --out FOLDER: MODEL stands for yours",
        "# Sensitivity of the search as published: rho, learning rate, K, the judge's mistakes: "
        "takes hours",
        'PLANTED="--data bundled:validation --families story+compare+groups+calendar '
        '--questions 42": takes an hour',
        "python -m dev.pool sample MODEL --data QUESTIONS.jsonl --out pool.jsonl --samples 9 "
        "--max-tokens 400 --rows 36: MODEL stands for yours",
    ],
    "docs/bundled-model.md": [
        "python -m dev.bundled_model.train --out first --compiled: takes hours",
    ],
    "docs/how-to/calibrate.md": [
        "latent-agent calibrate --model MODEL --data QUESTIONS.jsonl --budget 3x --minutes 45 "
        "--save: MODEL stands for yours",
    ],
    "docs/how-to/chat.md": ['pip install "latent-agent[chat]": wants a person'],
    "docs/how-to/memory-pages.md": [
        "latent-agent serve --model path/to/model.gguf: serves until it is stopped",
        "latent-agent serve-key ann --keys keys.json --right read --right rate: wants the server",
    ],
    "docs/how-to/choose-a-model.md": [
        'latent-agent ask "What is 17 * 23?" --model Qwen/Qwen2.5-0.5B-Instruct: a download',
    ],
    "docs/how-to/gguf.md": [
        'pip install "latent-agent[llama-cpp]": needs llama.cpp, and a file',
        "from latent_agent import ChatLatentSeek: needs llama.cpp, and a file",
    ],
    "docs/how-to/gpu.md": ["from latent_agent import ChatLatentSeek: wants a GPU"],
    "docs/how-to/nights.md": [
        "# A night at three o'clock: crontab -e, and add this line with your own path.: "
        "a line of a crontab",
        "# One night; latent-agent-night.timer starts it. Copy both to ~/.config/systemd/user/, "
        "then:: a systemd unit",
        "[Unit]: a systemd timer",
        "systemctl --user daemon-reload: wants systemd",
    ],
    "docs/how-to/operating.md": [
        "python -m tests.soak --minutes 30 --threads 8 --folder soaked --seed 0 --plot memory.png: "
        "takes half an hour"
    ],
    "docs/how-to/grow.md": [
        "your program, or latent-agent serve: a drawing",
        'latent-agent serve --model path/to/model.gguf --nights "0 3 * * *": serves until it is '
        "stopped",
        "clients --> reverse proxy --+--> latent-agent serve --port 8321   weights ---+: a drawing",
        "latent-agent serve --model path/to/model.gguf --memory memory.sqlite3 --port 8321 &: "
        "serves until it is stopped",
        "+--> host 1: latent-agent serve   weights --+: a drawing",
        'pip install "latent-agent[server,postgres]": wants a server',
    ],
    "docs/how-to/postgres.md": [
        'pip install "latent-agent[postgres]": wants a server',
        "latent-agent memory copy ~/.local/share/latent-agent/memory.sqlite3 \\: wants a server",
    ],
    "docs/how-to/server.md": [
        'pip install "latent-agent[server,llama-cpp]": serves until it is stopped',
        "from openai import OpenAI: wants the server",
        "curl http://127.0.0.1:8321/v1/chat/completions -H 'Content-Type: application/json' \\: "
        "wants the server",
        "answer = client.chat.completions.create(: wants the server",
        "curl http://127.0.0.1:8321/v1/feedback -H 'Content-Type: application/json' \\: "
        "wants the server",
        "# The server. Copy it to ~/.config/systemd/user/, then:: a systemd unit",
        "python -m tests.server.load --clients 32 --minutes 10: takes an hour",
    ],
    "docs/how-to/slow-answer.md": [
        "python -m dev.bench call --model bundled --questions 10 --answer-tokens 64: "
        "takes a minute; tests/developers/test_bench_call.py runs it",
    ],
    "docs/how-to/upgrade.md": [
        "git pull: installs",
        "pip install --upgrade dist/latent_agent-*.whl: installs",
    ],
    "docs/speed.md": [
        "python -m dev.bench call --shape 100M --answer-tokens 256     "
        "# beside the plain method and the floor: takes hours"
    ],
    "docs/tutorial-real.md": [
        'latent-agent ask "What is 17 * 23?" --model Qwen/Qwen2.5-0.5B-Instruct --max-tokens 200: '
        "a download",
        'pip install "latent-agent[llama-cpp]": a download',
        "cat > mine.jsonl <<'JSON': a real model",
        'pip install "latent-agent[evaluate]": a real model',
        "import os: a real model",
        'right = "Our staging server listens on port 8321.": a real model',
        'latent-agent consolidate --model "$MODEL" --memory answers.sqlite3: a real model',
        "latent-agent memory status --memory answers.sqlite3: a real model",
    ],
    "docs/tutorial.md": ["python3 -m venv .venv: installs; the tests run in what it installs"],
}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`latent-agent` first on PATH, without seconds of imports for each command."""
    folder = tmp_path_factory.mktemp("warm")
    with warm_command(folder) as bin_, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{bin_}:{Path(sys.executable).parent}:/usr/bin:/bin")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def tutorial(command: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, Path]:
    """The tutorial, read from an empty home, and the home that it leaves."""
    home = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        move_home(patch, home)
        patch.chdir(home)
        return Page(ROOT / TUTORIAL, ROOT).run(), home


def read(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.chdir(home)
    return Page(ROOT / name, ROOT).run()


@pytest.mark.slow
def test_the_tutorial_runs_in_an_empty_home(tutorial: tuple[Page, Path]) -> None:
    page, _ = tutorial
    assert page.ran
    assert page.not_run == NOT_RUN.get(TUTORIAL, [])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PAGES if name != TUTORIAL])
def test_every_block_runs(
    name: str, tutorial: tuple[Page, Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith("docs/how-to/"):  # these begin where the tutorial ends
        shutil.copytree(tutorial[1], home, dirs_exist_ok=True)
    assert read(name, home, monkeypatch).not_run == NOT_RUN.get(name, [])


def test_what_is_not_run_is_known() -> None:
    assert NOT_RUN.keys() <= set(PAGES)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nassert False\n```", "^$"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```", "but the block before it printed"),
        ("```bash\nexit 2\n```", "exit code 2"),
        ("```bash\nfalse | true\n```", "exit code 1"),
        ("```sh\ntrue\n```", "must be python, bash or text, got 'sh'"),
        ("```\ntrue\n```", "must be python, bash or text, got ''"),
        ("```text\n1\n```", "no block before it printed this"),
    ],
)
def test_a_block_that_does_not_hold_fails(
    text: str, error: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "page.md").write_text(f"# Page\n\n{text}\n", "utf-8")
    monkeypatch.chdir(home)
    with pytest.raises(AssertionError, match=error):
        Page(home / "page.md", ROOT).run()


def test_a_marked_block_is_listed_and_not_run(home: Path) -> None:
    marked = '<!--- skip: next "a download" -->\n```bash\nfalse\n```\n'
    (home / "page.md").write_text(marked, "utf-8")
    page = Page(home / "page.md", ROOT).run()
    assert (page.ran, page.not_run) == (0, ["false: a download"])


@pytest.mark.slow
def test_the_first_error_of_an_empty_home_says_what_helps(command: None, home: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["latent-agent", *words], capture_output=True, text=True, check=False, cwd=home
        )

    refused = run("memory", "status")
    assert refused.returncode == 2
    assert "(latent-agent ask QUESTION)" in refused.stderr
    assert run("ask", "Today is Monday. The trip was 3 days ago. What day was it?").returncode == 0
    assert run("memory", "status").returncode == 0


def test_the_command_lines_page_is_not_stale(home: Path) -> None:
    made = home / "cli.md"
    recipe = re.search(
        r"^\t\$\(BIN\)/(typer .*) docs/cli\.md$", (ROOT / "Makefile").read_text(), re.M
    )
    assert recipe is not None
    subprocess.run([sys.executable, "-m", *shlex.split(recipe[1]), str(made)], check=True)
    assert (ROOT / GENERATED).read_text("utf-8") == made.read_text("utf-8"), "run: make cli"


@pytest.mark.parametrize("package", [latent_agent, latent_memory])
def test_the_reference_lacks_no_public_name(package: Any) -> None:
    module = package.__name__
    page = (ROOT / "docs" / "reference" / f"{module}.md").read_text("utf-8")
    documented = re.findall(rf"^::: {module}\.(\w+)$", page, re.MULTILINE)
    assert sorted(documented) == sorted(package.__all__)


def test_every_page_is_in_the_navigation() -> None:
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = {f"docs/{name}" for name in re.findall(r"[\w/-]+\.md", menu)}
    assert named == {name for name in [*PAGES, GENERATED] if name.startswith("docs/")}


def test_the_settings_page_is_not_stale() -> None:
    assert PAGE.read_text() == page()

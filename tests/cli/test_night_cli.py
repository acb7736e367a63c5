"""``latent-agent consolidate`` and ``latent-agent prior``: what they print, and how they leave."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from latent_agent import ChatLatentSeek
from latent_agent.call.agent import default_reward
from latent_agent.errors import SettingError
from latent_agent.nights.dataset import Stream, Survey, survey
from latent_agent.nights.gate import GateSettings
from latent_agent.nights.job import NightSettings
from latent_agent.nights.lock import night_lock
from latent_agent.nights.night import consolidate
from latent_agent.nights.targets import job_for
from latent_agent.teaching import questions
from latent_memory import LatentMemory, Shelf
from latent_memory.priors.nights import list_nights
from tests.support.night_commands import COMMAND, printed, run, searched


@pytest.fixture(scope="session")
def night_folder(day: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The memory after one night by command, which published prior 1."""
    folder = tmp_path_factory.mktemp("night")
    shutil.copy(day, folder / "memory.sqlite3")
    result = run("consolidate", "--memory", folder / "memory.sqlite3", "--calls", 40)
    assert result.exit_code == 0, result.output
    assert "published" in result.stdout
    return folder


@pytest.fixture
def published(night_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(night_folder, tmp_path / "night")) / "memory.sqlite3"


def test_a_reward_with_few_traces_does_not_cost_another_its_night(memory: Path) -> None:
    with LatentMemory(memory) as opened:
        info = opened.shelves()[0].shelf
        few = replace(info, reward=default_reward("grades").id)
        opened.add(searched(questions("train", n=1, seed=5)[0], few))
        opened.add(searched(questions("train", n=1, seed=5)[0], replace(few, namespace="new")))
    result = run("consolidate", "--memory", memory, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    (planned,) = json.loads(result.stdout)["nights"]
    assert planned["shelf"]["reward"] == info.reward
    assert "passed over" in result.stderr
    assert f"under the reward {few.reward.split(' ')[0]!r}" in result.stderr
    alone = run("consolidate", "--memory", memory, "--dry-run", "--namespace", "new")
    assert alone.exit_code != 0


def test_from_a_day_to_an_active_prior_and_back(memory: Path, published: Path) -> None:
    planned = printed("consolidate", "--memory", memory, "--dry-run")["nights"][0]
    assert planned["verdict"] == "planned"
    shown = printed("prior", "show", 1, "--memory", published)
    result = shown["night"]["result"]
    assert result["verdict"] == "published"
    assert result["gate"]["contestants"]["candidate"]["at_once"] >= 0.9
    assert printed("consolidate", "--memory", published)["nights"][0]["verdict"] == "idle"

    (listed,) = printed("prior", "list", "--memory", published)["priors"]
    assert (listed["version"], listed["state"], listed["positions"]) == (1, "active", 3)
    back = printed("prior", "rollback", "--memory", published)
    assert (back["withdrawn"], back["active"]) == (1, None)
    state = printed("prior", "list", "--memory", published)["priors"][0]["state"]
    assert state == "withdrawn (rolled back)"
    assert printed("prior", "publish", 1, "--memory", published)["active"] == 1


def test_a_night_searches_as_its_traces_were_unless_it_is_given_otherwise(memory: Path) -> None:
    def searched_as(*options: str) -> str:
        (planned,) = printed("consolidate", "--memory", memory, "--dry-run", *options)["nights"]
        return planned["figures"]["searched"]

    assert searched_as().startswith("recipe default, since no trace says")
    with LatentMemory(memory) as opened:
        stored = next(opened.stream(opened.shelves()[0].shelf))
        opened.add(replace(stored.trace, settings='{"prefix_tokens": 5}'))
    assert searched_as() == "as 1 of the newest 100 traces"
    given = searched_as("--set", "prefix_tokens=4", "--set", "rest=kept")
    assert given == "as 1 of the newest 100 traces, and prefix_tokens, rest as given"
    assert searched_as("--recipe", "latentseek") == "recipe latentseek"
    (night,) = printed("consolidate", "--memory", memory, "--calls", 16)["nights"]
    assert night["figures"]["searched"] == "as 1 of the newest 100 traces"
    with LatentMemory(memory) as opened:
        (noted,) = list_nights(opened.database)
    assert noted.inputs["search"]["prefix_tokens"] == 5


def test_tables_fit_eighty_columns(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (("list",), ("show", 1)):
        result = run("prior", *arguments, "--memory", published)
        assert result.exit_code == 0
        assert "active" in result.stdout
        assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_a_damaged_prior_is_not_published(published: Path) -> None:
    file = published.with_name("memory.sqlite3.priors") / "1.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    result = run("prior", "publish", 1, "--memory", published)
    assert result.exit_code == 1
    assert "must be whole" in str(result.exception)


def test_another_night_at_work_is_exit_code_3(memory: Path) -> None:
    with LatentMemory(memory) as held, night_lock(held.database):
        result = run("consolidate", "--memory", memory)
    assert result.exit_code == 3
    assert f"process {os.getpid()}" in result.stderr


def test_traces_of_another_model_are_named_and_left_alone(tmp_path: Path) -> None:
    path, shelf = (
        tmp_path / "memory.sqlite3",
        Shelf(namespace="default", fingerprint="feedbeef" * 8, reward="some:reward"),
    )
    asked = questions("train", n=30)
    with LatentMemory(path) as opened:
        opened.add_many([searched(question, shelf) for question in asked])
    result = run("consolidate", "--memory", path)
    assert result.exit_code == 1
    assert "got 30 in 'default' of model feedbeef and reward 'some:reward'" in str(result.exception)
    assert not path.with_name("memory.sqlite3.priors").exists()


def test_a_reward_that_is_lost_is_exit_code_5_and_can_be_named(memory: Path) -> None:
    with LatentMemory(memory) as opened:
        shelf = opened.shelves()[0].shelf
        lost = replace(shelf, namespace="lost", reward="lost_module:judge")
        opened.add_many(
            [replace(stored.trace, shelf=lost) for stored in list(opened.stream(shelf))]
        )
    result = run("consolidate", "--memory", memory, "--namespace", "lost")
    assert result.exit_code == 5
    assert "trained, but not published" in result.stdout
    waited = printed("consolidate", "--memory", memory, "--namespace", "lost", "--if-new", 1)
    assert waited["nights"][0]["verdict"] == "idle"  # it would only come to the same
    assert printed("prior", "list", "--memory", memory)["priors"][0]["state"] == "not published"


@pytest.mark.slow
def test_a_night_that_fails_costs_no_other_reward_its_night(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surveys: list[Survey] = []
    monkeypatch.setattr("latent_agent.nights.job.survey", counting(surveys))
    with LatentMemory(memory) as opened:
        shelf = opened.shelves()[0].shelf
        good = list(opened.stream(shelf))
        never = replace(shelf, namespace="two", reward="a:never")
        two = replace(shelf, namespace="two")
        hopeless = [replace(one.trace, shelf=never, score=-1.0, rewards=((-1.0,),)) for one in good]
        opened.add_many(hopeless)
        opened.add_many(replace(one.trace, shelf=two) for one in good)
    result = run("consolidate", "--memory", memory, "--namespace", "two", "--calls", 40, "--json")
    assert result.exit_code == 1
    assert "above -1" in str(result.exception)
    (night,) = json.loads(result.stdout)["nights"]
    assert (night["verdict"], night["shelf"]["reward"]) == ("published", shelf.reward)
    assert len(surveys) == 2  # the traces of each reward are read once before they are trained on


def counting(surveys: list[Survey]) -> Callable[[Stream, int], Survey]:
    def counted(stream: Stream, vocabulary: int) -> Survey:
        surveys.append(survey(stream, vocabulary))
        return surveys[-1]

    return counted


@pytest.mark.slow
def test_terminated_it_leaves_with_exit_code_4(memory: Path) -> None:
    arguments = ["consolidate", "--memory", str(memory)]
    with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("training"):
                process.send_signal(signal.SIGTERM)
                break
        said = process.stderr.read()
    assert process.returncode == 4
    assert "nothing was published" in said
    assert printed("prior", "list", "--memory", memory)["priors"] == []


def test_a_chat_model_has_its_night(memory: Path) -> None:
    chat = ChatLatentSeek(model="bundled", memory=str(memory), max_tokens=64)
    job = job_for(chat)
    assert job.shelf in [info.shelf for info in job.memory.shelves()]
    assert (job.search.max_tokens, job.search.prefix_tokens) == (64, 3)
    settings = NightSettings(gate=GateSettings(calls=40))
    assert consolidate(replace(job, settings=settings)).verdict == "published"
    asked = next(q.text for q in questions("test", n=40) if q.planted)
    answer = chat.invoke(asked).response_metadata["latent_agent"]
    assert answer["warm_start"]["prior"] == "1"  # at its next call, without a restart
    with pytest.raises(SettingError, match="a night needs a memory"):
        job_for(ChatLatentSeek(model="bundled", memory=None))


def test_the_embedder_of_a_chat_model_is_the_nights_too(tmp_path: Path) -> None:
    embedder = DeterministicFakeEmbedding(size=8)
    chat = ChatLatentSeek(model="bundled", memory=str(tmp_path / "m.sqlite3"), embeddings=embedder)
    chat.invoke("Here Tom counts 3 weeks and 2 days. How many days is that?")
    job = job_for(chat)
    assert [info.shelf for info in job.memory.shelves()] == [job.shelf]
    assert job.embedder is embedder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("consolidate", "--schedule", "0 3 * *"), "five fields"),
        (("consolidate", "--namespace", "nobody"), "in namespace 'nobody'"),
        (("consolidate", "--anchor", "missing.jsonl"), "must be in a text file"),
        (("consolidate", "--reward", "json:loads"), "reward 'json:loads'"),
        (("consolidate", "--set", "prefix=4"), "got 'prefix=4'"),
        (("consolidate", "--embeddings", "no_such"), "importable as module:attribute"),
        (("consolidate", "--embeddings", "json:loads"), "must have a method embed_query"),
        (("prior", "show", "7"), "a prior of that version, got 7"),
        (("prior", "rollback"), "must be active to be rolled back"),
    ],
)
def test_what_is_wrong_is_said(memory: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments, "--memory", memory)
    assert result.exit_code == 1  # 2 by way of main(), which prints the error
    assert said in str(result.exception)

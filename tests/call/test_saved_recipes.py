"""What a chat model takes from a saved calibration, and when it takes nothing."""

import json
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from latent_agent import (
    AgreementReward,
    ChatLatentSeek,
    EquationReward,
    ScaleReward,
    SelfReward,
)
from latent_agent.call.recipes.saved import Interval, KeptReward, SavedRecipe
from latent_agent.call.recipes.store import find, folder, load, path_of, save, saved
from latent_agent.cli import app
from latent_agent.errors import RecipeError, SettingError
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.nights.targets import job_for

ASKED = "Today is Monday. The trip of Tom was 5 days ago. What day was the trip?"
KNOWN = Interval(mean=0.5, low=0.4, high=0.6)
ROUND = {"drafts": 5, "draft_temperature": 0.7, "threshold": -1.0, "max_iterations": 1}


def kept(id: str, threshold: float | None = -0.4) -> KeptReward:
    return KeptReward(id=id, threshold=threshold, agrees=KNOWN, within=KNOWN, best=KNOWN)


REWARDS = {
    "agreement": kept(AgreementReward().id),
    "scale": kept(ScaleReward().id),
    "blind": kept(EquationReward().id, None),
}


def recipe(**given: Any) -> SavedRecipe:
    model = open_model("bundled")
    usual: dict[str, Any] = {
        "fingerprint": model.fingerprint(), "model": model.name, "engine": "transformers",
        "dtype": "float32", "versions": {}, "made": datetime(2026, 5, 4, tzinfo=UTC),
        "data": "questions.jsonl", "questions": 30, "budget": 3.0, "search": "samples",
        "reward": "agreement", "settings": ROUND, "rewards": REWARDS, "draft": KNOWN,
        "right": KNOWN, "gain": KNOWN, "seconds": 2.0, "tokens": 3.0,
    }  # fmt: skip
    return SavedRecipe(**{**usual, **given})


def answered(**given: Any) -> Mapping[str, Any]:
    call: dict[str, Any] = {"model": "bundled", "recipe": "auto", "memory": None, **given}
    return ChatLatentSeek(**call).invoke(ASKED).response_metadata["latent_agent"]


def test_a_calibration_names_what_its_questions_ended_with() -> None:
    save(recipe(ending="\nBe brief."))
    assert answered(max_iterations=0)["recipe"].endswith(r"asked with '\nBe brief.' at the end")


def test_without_a_calibration_the_defaults_are_used() -> None:
    plain = answered(recipe=None)
    assert plain["recipe"] == "default"
    assert answered() == {**plain, "recipe": "auto: none saved"}


def test_what_was_saved_is_used_and_named() -> None:
    save(recipe())
    found = answered()
    assert found["recipe"] == "auto: samples by agreement, calibrated 2026-05-04"
    assert len(found["rewards"]) == 1
    assert len(found["rewards"][0]) == ROUND["drafts"]  # the engine would write more
    assert found["stopped"] == "threshold"
    assert "agreement" in found["checks"]


async def test_hashing_the_weights_is_no_waiting_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    known = SharedModel.fingerprint

    def slow(*given: Any) -> str:
        time.sleep(1)
        return known(*given)

    monkeypatch.setattr(SharedModel, "fingerprint", slow)
    chat = ChatLatentSeek(model="bundled", memory=None, recipe="auto", timeout=0.8, max_waiting=1)
    assert (await chat.ainvoke(ASKED)).response_metadata["latent_agent"]["recipe"]


def test_a_chat_model_that_does_not_ask_ignores_what_was_saved() -> None:
    before = answered(recipe=None)
    save(recipe())
    assert answered(recipe=None) == before


def test_what_is_given_goes_before_what_was_saved() -> None:
    save(recipe())
    found = answered(max_iterations=0)
    assert (found["stopped"], found["rewards"]) == ("unjudged", [])
    call = ChatLatentSeek(model="bundled", memory=None, max_iterations=2).invoke(
        ASKED, recipe="auto", threshold=-0.01
    )
    assert call.response_metadata["latent_agent"]["iterations"] == 2


def test_what_was_saved_keeps_to_bounds() -> None:
    save(recipe(reward="scale"))
    chat = ChatLatentSeek(model="bundled", memory=None, recipe="auto")
    bounds: list[Any] = [None, {"drafts": 2, "max_iterations": 9}]
    told = [chat.invoke(ASKED, most=one) for one in bounds]
    rounds = [one.response_metadata["latent_agent"]["rewards"][0] for one in told]
    assert [len(one) for one in rounds] == [5, 2]


def test_a_given_reward_takes_its_threshold_alone() -> None:
    save(recipe())
    found = answered(reward=ScaleReward(), max_iterations=0)
    assert found["recipe"] == "auto: threshold, calibrated 2026-05-04"


def test_a_scale_without_a_threshold_says_so_once() -> None:
    scale = SelfReward(weights={"correct": 2.0}, verdict="probability")
    given: dict[str, Any] = {"recipe": None, "max_iterations": 0}
    with pytest.warns(UserWarning, match="a threshold must be calibrated for the reward"):
        answered(reward=scale, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answered(reward=scale, **given)
        answered(reward=ScaleReward(threshold=-0.3), **given)
        answered(reward=ScaleReward(), threshold=-0.3, **given)


@pytest.mark.parametrize(
    ("reward", "says"),
    [
        (EquationReward(), "found none; calibrate with more questions"),
        (AgreementReward(least=7), "must be of the same reward.*--reward"),
    ],
)
def test_another_reward_takes_nothing_and_warns_once(reward: Any, says: str) -> None:
    save(recipe())
    with pytest.warns(UserWarning, match=says):
        assert answered(reward=reward, max_iterations=0)["recipe"] == "auto: none saved"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answered(reward=reward, max_iterations=0)["recipe"] == "auto: none saved"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"release": "0.0"}, "same release of latent-agent.*0.0"),
        ({"version": 99}, "same file version, 1, got 99"),
        ({"fingerprint": "0" * 32, "engine": "llama.cpp", "dtype": "its own"},
         "made with llama.cpp in its own"),
        ({"rewards": {"agreement": kept("AgreementReward {}")}}, "built again from its id"),
    ],
)  # fmt: skip
def test_a_calibration_that_does_not_fit_takes_nothing_and_warns(
    given: dict[str, Any], says: str
) -> None:
    save(recipe(**given))
    with pytest.warns(UserWarning, match=says) as seen:
        assert answered(max_iterations=0)["recipe"] == "auto: none saved"
    assert len(seen) == 1
    assert "latent-agent calibrate" in str(seen[0].message) or "--reward" in str(seen[0].message)


def test_a_broken_file_takes_nothing_and_warns() -> None:
    path = save(recipe())
    path.write_text(path.read_text()[:100])
    with pytest.warns(UserWarning, match="must be a file of version 1"):
        assert answered(max_iterations=0)["recipe"] == "auto: none saved"


def test_other_prompts_are_another_model() -> None:
    save(recipe())
    with pytest.warns(UserWarning, match="weights, data type, engine and prompts"):
        found = answered(max_iterations=0, chat_template_kwargs={"enable_thinking": False})
    assert found["recipe"] == "auto: none saved"


def test_a_night_searches_and_judges_as_calls_do(tmp_path: Path) -> None:
    save(recipe())
    memory = tmp_path / "memory.sqlite3"
    job = job_for(ChatLatentSeek(model="bundled", recipe="auto", memory=memory, drafts=6))
    assert job.reward is not None
    assert job.reward.id == AgreementReward().id
    assert (job.search.drafts, job.search.threshold) == (6, -1.0)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(SettingError, match="latentevolve, or auto in a chat model, got 'best'"):
        ChatLatentSeek(model="bundled", recipe="best")


def test_a_file_is_replaced_whole() -> None:
    path = save(recipe(questions=20))
    assert save(recipe()) == path == path_of(recipe().fingerprint)
    assert [file.name for file in folder().iterdir()] == [path.name]
    assert load(path) == recipe()


def test_a_folder_that_cannot_be_written_is_told(home: Path) -> None:
    folder().parent.parent.mkdir(parents=True)
    folder().parent.write_text("a file")
    with pytest.raises(RecipeError, match="can be written"):
        save(recipe())


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["recipe", *words])
    assert result.exit_code == 0, result.output
    return result.output


def test_calibrations_are_listed_shown_and_deleted() -> None:
    assert "calibrate --save makes one" in run("list")
    save(recipe())
    save(recipe(fingerprint="f" * 32, release="0.0"))
    rows = json.loads(run("list", "--json"))["recipes"]
    assert [bool(row["error"]) for row in rows] == [False, True]
    assert "samples by" in run("list")
    ours = recipe().fingerprint[:6]
    assert json.loads(run("show", ours))["questions"] == 30
    run("delete", "ffff", "--yes")
    assert len(list(saved())) == 1
    with pytest.raises(RecipeError, match="names 0; see latent-agent recipe list"):
        find("ffff")
    with pytest.raises(RecipeError, match="one alone"):
        find("")

"""A model and a tokenizer may be named by a Path wherever they may be named by a text."""

from pathlib import Path
from typing import Any

import pytest

from latent_agent import ChatLatentSeek, LatentSeekEmbeddings, LatentSeekLLM, TraceRetriever
from latent_agent.errors import ModelError
from latent_agent.evaluation.setup import EvaluationRequest, experiment, written
from latent_agent.model.places import bundled_path
from latent_agent.model.registry import open_model
from latent_memory import LatentMemory

FOLDER = bundled_path()
QUESTION = "Tom has 12 apples and gives 5 to Ann. How many apples are left?"


def test_a_chat_model_takes_a_path() -> None:
    given: dict[str, Any] = {"memory": None, "max_tokens": 3, "max_iterations": 0}
    named = ChatLatentSeek(model=str(FOLDER), **given)
    for tokenizer in (None, FOLDER):
        chat = ChatLatentSeek(model=FOLDER, tokenizer=tokenizer, **given)
        message = chat.invoke(QUESTION)
        assert message.text == named.invoke(QUESTION).text
        assert message.response_metadata["model_name"] == chat.model_name == str(FOLDER)
        assert chat.profile == named.profile
        assert chat._get_ls_params().get("ls_model_name") == str(FOLDER)
        assert (
            chat._get_llm_string() == named.model_copy(update={"tokenizer": None})._get_llm_string()
        )
    assert ChatLatentSeek.from_model_id(FOLDER, **given).model_name == str(FOLDER)
    assert LatentSeekLLM(model=FOLDER, **given).model_name == str(FOLDER)


def test_one_call_takes_another_model_by_its_path() -> None:
    chat = ChatLatentSeek(model="bundled", memory=None, max_tokens=3, max_iterations=0)
    called = chat.invoke(QUESTION, model=FOLDER)
    bound = chat.bind(model=FOLDER, tokenizer=FOLDER).invoke(QUESTION)
    assert called.response_metadata["model_name"] == str(FOLDER)
    assert bound.response_metadata["model_name"] == str(FOLDER)
    assert called.text == bound.text == chat.invoke(QUESTION).text
    assert chat._get_ls_params(model=FOLDER).get("ls_model_name") == str(FOLDER)


def test_all_share_the_model_of_one_path(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = open_model(str(FOLDER))
    assert open_model(FOLDER) is shared
    monkeypatch.chdir(FOLDER.parent)
    assert open_model(Path(FOLDER.name)) is shared
    assert open_model(FOLDER, FOLDER) is open_model(str(FOLDER), str(FOLDER))


def test_embeddings_and_retrievers_take_a_path(tmp_path: Path) -> None:
    embeddings = LatentSeekEmbeddings(model=FOLDER, tokenizer=FOLDER)
    assert embeddings.embed_query("a") == LatentSeekEmbeddings(model=str(FOLDER)).embed_query("a")
    assert embeddings.model == str(FOLDER)
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        assert TraceRetriever(model=FOLDER, memory=memory).invoke("a") == []


def test_an_evaluation_takes_a_path() -> None:
    asked = EvaluationRequest(model=FOLDER, questions=1)
    assert written(asked, experiment(asked))["answers"]["model"] == str(FOLDER)


def test_a_path_is_never_a_hub_id_nor_the_bundled_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path("bundled"), Path("org/name"), Path("~/nothing")):
        with pytest.raises(ModelError, match="model must be a folder, got"):
            ChatLatentSeek(model=path, memory=None).invoke(QUESTION)

"""Log-probabilities of an answer's tokens, in both engines."""

from pathlib import Path
from typing import Any

import pytest
import torch

from latent_agent import ChatLatentSeek
from latent_agent.call.log_probabilities import length_in_tokens
from latent_agent.errors import SettingError
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import open_model

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"


@pytest.fixture(params=["transformers", "llama.cpp"])
def model(request: pytest.FixtureRequest) -> str:
    if request.param == "transformers":
        return "bundled"
    pytest.importorskip("llama_cpp")
    path: Path = request.getfixturevalue("bundled_gguf")
    return str(path)


def test_they_are_those_of_the_model(model: str) -> None:
    """Each token's prefix is read anew here, by itself."""
    chat = ChatLatentSeek(model=model, memory=None)
    message = chat.invoke(QUESTION, logprobs=True, top_logprobs=2)
    assert message.text == "We count back. Monday - 3 days = Friday. The answer is Friday."
    content: list[Any] = message.response_metadata["logprobs"]["content"]
    assert "".join(one["token"] for one in content) == message.text

    shared = open_model(model)
    engine, prompt = shared.engine(), encode_chat(shared.tokenizer, [Turn("user", QUESTION)])
    tokens = shared.tokenizer.encode(message.text, add_special_tokens=False)
    assert len(tokens) == len(content)
    rows = [[*prompt, *tokens[:length]] for length in range(len(tokens))]
    logits = torch.cat([engine.sequence(Budget()).next_logits([row], "judge") for row in rows])
    wanted = torch.log_softmax(logits.float(), dim=-1)
    for place, (token, one) in enumerate(zip(tokens, content, strict=True)):
        assert one["logprob"] == pytest.approx(float(wanted[place, token]), abs=1e-3)
        best = wanted[place].max()
        assert one["top_logprobs"][0]["logprob"] == pytest.approx(float(best), abs=1e-3)
        assert len(one["top_logprobs"]) == 2
    spent = message.response_metadata["latent_agent"]["forwarded_tokens"]
    assert spent["logprobs"] == len(prompt) + len(tokens)


def test_parts_of_a_character_have_no_bytes() -> None:
    chat = ChatLatentSeek(model="bundled", memory=None, max_iterations=0, max_tokens=12)
    message = chat.invoke("Say: 你好", temperature=2.0, seed=3, logprobs=True)
    content: list[Any] = message.response_metadata["logprobs"]["content"]
    for one in content:
        told = one["bytes"]
        assert told is None or bytes(told).decode() == one["token"]
        assert (told is None) == ("\ufffd" in one["token"])


@pytest.mark.parametrize("text", ["ok", "ok 🙂", "日本", "né", "🙂🙂 end"])
def test_a_text_takes_all_tokens_of_its_last_character(text: str) -> None:
    shared = open_model("bundled")
    engine, tokens = shared.engine(), shared.tokenizer.encode(text, add_special_tokens=False)
    assert length_in_tokens(engine, tokens, text) == len(tokens)
    longer = [*tokens, *shared.tokenizer.encode(" and more", add_special_tokens=False)]
    assert length_in_tokens(engine, longer, text) == len(tokens)
    assert length_in_tokens(engine, [*tokens, min(engine.stop_ids)], text) == len(tokens)


def test_they_are_given_only_if_asked_for() -> None:
    chat = ChatLatentSeek(model="bundled", memory=None, max_iterations=0)
    assert "logprobs" not in chat.invoke(QUESTION).response_metadata
    none = chat.invoke(QUESTION, logprobs=True).response_metadata["logprobs"]["content"]
    assert none[0]["top_logprobs"] == []
    wrongs: list[Any] = [{"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 21}]
    for wrong in wrongs:
        with pytest.raises(SettingError, match="top_logprobs"):
            chat.invoke(QUESTION, **wrong)

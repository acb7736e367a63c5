"""Bad input: one error of ours that says rule, value and remedy, before any weights are read."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ChatMessage, HumanMessage
from transformers import BertConfig, PreTrainedConfig, T5Config

from latent_agent import ChatLatentSeek, LatentAgentError, LatentSeekLLM, SelfReward
from latent_agent.errors import ModelError, PromptError, RewardError, SettingError
from latent_agent.settings import settings_for
from tests.support.tiny import CONFIGS, WINDOW, tiny_tokenizer

QUESTION = "How many apples are left?"


def folder_without_weights(path: Path, config: PreTrainedConfig) -> str:
    config.save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return str(path)


@pytest.fixture
def bare(tmp_path: Path) -> ChatLatentSeek:
    """A folder with config and tokenizer only: reading weights fails."""
    config = CONFIGS["llama"]()
    config.architectures = ["LlamaForCausalLM"]
    return ChatLatentSeek(model=folder_without_weights(tmp_path, config))


def test_missing_weights_are_told_last(bare: ChatLatentSeek) -> None:
    with pytest.raises(ModelError, match=r"weights of .* must be readable.*download"):
        bare.invoke(QUESTION)


def test_tokens_are_counted_without_weights(bare: ChatLatentSeek) -> None:
    text, message = (
        bare.get_num_tokens(QUESTION),
        bare.get_num_tokens_from_messages([HumanMessage(QUESTION)]),
    )
    assert 0 < text < message


def test_unreadable_weights_are_told(bare: ChatLatentSeek) -> None:
    (Path(bare.model) / "model.safetensors").write_bytes(b"no weights" * 9)
    with pytest.raises(ModelError, match=r"weights of .* must be readable.*download"):
        bare.invoke(QUESTION)


def test_a_prompt_longer_than_the_window_tells_both_lengths(bare: ChatLatentSeek) -> None:
    with pytest.raises(PromptError, match=rf"{WINDOW} tokens, got a prompt of \d{{3,}} .*shorten"):
        bare.invoke("apples " * WINDOW)


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        ([], r"at least one message, got \[\]; add a human message"),
        ([HumanMessage([{"type": "image_url"}])], "must be text, got .*'image_url'; .*describe"),
        ([HumanMessage([{"type": "text", "text": "a"}, {"type": "file"}])], "must be text.*file"),
        ([ChatMessage(role="martian", content="hi")], "one of.*martian.*use a HumanMessage"),
    ],
)
def test_messages_that_make_no_prompt(bare: ChatLatentSeek, messages, rule: str) -> None:
    with pytest.raises(PromptError, match=rule):
        bare.invoke(messages)


SETTINGS = {
    "fraction": (0, -0.1, 1.01, math.nan, "abc"),
    "max_iterations": (-1, 1.5, True),
    "learning_rate": (-0.1, math.inf, "fast"),
    "threshold": (0, 0.1, -1.1, math.nan),
    "temperature": (-1,),
    "max_tokens": (0,),
    "samples": (0, 2),  # two greedy samples are the same
    "prefix_tokens": (0,),
    "patience": (0,),
    "timeout": (-1,),
    "max_forwarded_tokens": (0,),
    "seed": (-1,),
    "recipe": ("fast",),
    "stop": ("", [""], ["a", ""], ("a", ""), [3], 3, [None], b"a", True),
}
EACH_SETTING = [(name, value) for name, values in SETTINGS.items() for value in values]


@pytest.mark.parametrize(("name", "value"), EACH_SETTING)
def test_a_setting_out_of_range(bare: ChatLatentSeek, name: str, value) -> None:
    rule = rf"{name}\b.*{re.escape(repr(value))}.*;"
    with pytest.raises(SettingError, match=rule):
        ChatLatentSeek(model=bare.model, **{name: value})
    with pytest.raises(SettingError, match=rule):
        bare.invoke(QUESTION, **{name: value})
    with pytest.raises(SettingError, match=rule):
        bare.bind(**{name: value}).invoke(QUESTION)
    with pytest.raises(SettingError, match=rule):
        LatentSeekLLM(chat=bare).invoke(QUESTION, **{name: value})
    with pytest.raises(SettingError, match=rule):
        LatentSeekLLM(model=bare.model, **{name: value})


@pytest.mark.parametrize("none", [None, [], ()])
def test_no_stop_text_is_none(none) -> None:
    chat = ChatLatentSeek(model="bundled", memory=None, max_iterations=0, max_tokens=5, stop=none)
    assert chat.invoke(QUESTION, stop=none).text == chat.invoke(QUESTION).text != ""
    assert settings_for(stop=()).stop == ()
    with pytest.raises(SettingError, match=r"stop must.*got \('',\); "):
        settings_for(stop=("",))


@pytest.mark.parametrize(
    "name", ["./nowhere", "nobody/no-such-model", "no such model", "x" * 300, "~/nowhere"]
)
def test_an_unknown_model(name: str) -> None:
    chat = ChatLatentSeek(model=name)
    with pytest.raises(ModelError, match=r"^model must (be a folder|name a Hugging Face)") as error:
        chat.invoke(QUESTION)
    assert repr(name) in str(error.value)
    assert "'bundled'" in str(error.value)


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(architectures=["BertForMaskedLM"], vocab_size=99, hidden_size=8),
        BertConfig(architectures=["BertModel"], vocab_size=99, hidden_size=8),
        T5Config(architectures=["T5ForConditionalGeneration"], vocab_size=99, d_model=8),
    ],
    ids=lambda config: config.architectures[0],
)
def test_a_model_that_is_no_causal_lm(tmp_path: Path, config: PreTrainedConfig) -> None:
    chat = ChatLatentSeek(model=folder_without_weights(tmp_path, config))
    with pytest.raises(ModelError, match=r"must be a causal language model, got .*ForCausalLM"):
        chat.invoke(QUESTION)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"model": 3}, ModelError),
        ({"model": None}, ModelError),
        ({"dtype": "float33"}, ModelError),
        ({"device": "abacus"}, ModelError),
        ({"reward": 3}, RewardError),
        ({"reward": SelfReward}, RewardError),
    ],
)
def test_arguments_of_the_wrong_kind(given: dict[str, Any], error: type[LatentAgentError]) -> None:
    arguments: dict[str, Any] = {"model": "bundled", **given}
    with pytest.raises(error, match=r"got .*;"):
        ChatLatentSeek(**arguments)

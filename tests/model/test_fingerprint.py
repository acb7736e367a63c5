"""What made a trace is told apart also after it was changed in place."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import normalizers
from transformers import AutoTokenizer

from latent_agent import ChatLatentSeek
from latent_agent.model.registry import SharedModel, open_model
from tests.support.engines import transformers_engine
from tests.support.tiny import tiny_model, tiny_tokenizer

QUESTION = "Tom has 12 apples and gives 5 to Ann. How many apples are left?"


def template(tokenizer: Any, _: Any) -> None:
    tokenizer.chat_template = tokenizer.chat_template + " "


def tokens(tokenizer: Any, _: Any) -> None:
    tokenizer.add_tokens(["apples and"])


def special(tokenizer: Any, _: Any) -> None:
    tokenizer.add_special_tokens({"additional_special_tokens": ["apples"]})


def beginning(tokenizer: Any, _: Any) -> None:
    tokenizer.bos_token = tokenizer.eos_token


def normaliser(tokenizer: Any, _: Any) -> None:
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()


def weights(_: Any, model: Any) -> None:
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)


def replaced(_: Any, model: Any) -> None:
    model.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(
        model.model.layers[0].mlp.up_proj.weight * 2
    )


CHANGES = (template, tokens, special, beginning, normaliser, weights, replaced)


def opened() -> SharedModel:
    return open_model(tiny_model(), copy.deepcopy(tiny_tokenizer()))


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_in_place_changes_the_fingerprint(
    change: Callable[[Any, Any], None],
) -> None:
    shared = opened()
    before = shared.fingerprint()
    assert shared.fingerprint() == before == opened().fingerprint()
    change(shared.tokenizer, transformers_engine(shared).model)
    after = shared.fingerprint()
    assert after != before
    fresh = opened()
    change(fresh.tokenizer, transformers_engine(fresh).model)
    assert fresh.fingerprint() == after


def test_calls_change_no_fingerprint() -> None:
    model, tokenizer = tiny_model(), copy.deepcopy(tiny_tokenizer())
    chat = ChatLatentSeek(model=model, tokenizer=tokenizer, memory=None, max_tokens=3)
    before = open_model(model, tokenizer).fingerprint()
    chat.invoke(QUESTION)
    tokenizer([QUESTION, "apples"], padding=True, truncation=True, max_length=5)
    tokenizer.padding_side = "left"
    assert open_model(model, tokenizer).fingerprint() == before


def test_truncation_in_a_tokenizers_file_changes_no_fingerprint(tmp_path: Path) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding()
    tokenizer.save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path)
    shared = open_model(tiny_model(), read)
    before = shared.fingerprint()
    read(QUESTION)  # which takes both off again
    assert open_model(tiny_model(), read).fingerprint() == before


def test_a_template_changed_between_calls_leaves_the_traces_of_the_old_one_alone(
    tmp_path: Path,
) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    chat = ChatLatentSeek(
        model=tiny_model(), tokenizer=tokenizer, memory=str(tmp_path / "memory.sqlite3"),
        reward=lambda _question, _answer: -0.1, max_tokens=3,
    )  # fmt: skip
    first = chat.invoke(QUESTION).response_metadata["latent_agent"]
    again = chat.invoke(QUESTION).response_metadata["latent_agent"]
    assert again["warm_start"]["neighbours"] == [first["trace_id"]]
    template(tokenizer, None)
    other = chat.invoke(QUESTION).response_metadata["latent_agent"]
    assert other["warm_start"]["neighbours"] == []

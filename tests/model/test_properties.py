"""Prompts, verdicts and imports, whatever text and bytes they are given.

``PROPERTY_EXAMPLES=10000`` tries that many; ``python -m tests.memory.fuzz_imports`` goes on
with imports.
"""

import re
import shutil
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent_agent.model.conversation import Role, Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.reward.judge_prompts import DEFAULT_PROMPTS, fill
from latent_agent.reward.verdict import read_grade, read_verdict
from tests.memory.fuzz_imports import Target, damages
from tests.support.examples import examples
from tests.support.tiny import tiny_tokenizer

PIECES = st.sampled_from(
    ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_", "end|>", "assistant\n", "system", "{",
     "}", "{{", "{%", "\u200b", "\u202e", "\x00", "\ufeff", "\U000f0000", "\U0010ffff", " ", "\n"]
)  # fmt: skip
WILD = st.lists(PIECES | st.text(max_size=6), max_size=12).map("".join)
ROLES = st.sampled_from(["system", "user", "assistant", "tool"])


def specials(ids: list[int]) -> list[int]:
    added = tiny_tokenizer().added_tokens_decoder
    return [token for token in ids if token in added]


@cache
def harmless_specials(roles: tuple[Role, ...]) -> list[int]:
    return specials(encode_chat(tiny_tokenizer(), [Turn(role, "hello") for role in roles]))


@examples(300)
@given(st.lists(st.tuples(ROLES, WILD), min_size=1, max_size=4))
def test_no_text_adds_or_removes_a_special_token(talk) -> None:
    ids = encode_chat(tiny_tokenizer(), [Turn(role, text) for role, text in talk])
    assert specials(ids) == harmless_specials(tuple(role for role, _ in talk))


@examples(300)
@given(WILD)
def test_every_text_comes_back_from_its_prompt(text: str) -> None:
    prompt = tiny_tokenizer().decode(encode_chat(tiny_tokenizer(), [Turn("user", text)]))
    assert prompt == f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


@examples(300)
@given(st.sampled_from(sorted(DEFAULT_PROMPTS.checks)), WILD, WILD)
def test_a_judges_prompt_holds_both_texts_and_its_own_words(name: str, talk: str, answer: str):
    prompt = DEFAULT_PROMPTS.checks[name]
    filled = fill(prompt, talk, answer)
    before, rest = prompt.split("{conversation}")
    middle, after = rest.split("{answer}")
    assert filled == before + talk + middle + answer + after


WORDS = st.sampled_from(
    ["VERDICT:", "True", "False", "true", "untrue", "not", "n't", "or", "/", "THE ANSWER IS:", ".",
     "**", "\n", "score", "SCORE: 7", "It is", "wait", "-", "|", "TRUE"]
)  # fmt: skip
REPLIES = st.lists(WORDS | st.text(max_size=5), max_size=10).map(" ".join)


@examples(500)
@given(REPLIES | st.text())
def test_a_verdict_is_read_from_every_reply(reply: str) -> None:
    verdict = read_verdict(reply)
    assert verdict in (True, False, None)
    if verdict:
        assert re.search(r"\btrue\b", reply, re.IGNORECASE), "nobody said so"


@examples(500)
@given(REPLIES)
def test_the_last_stated_verdict_counts(reply: str) -> None:
    assert read_verdict(f"{reply}\nVERDICT: False") is not True
    assert read_verdict(f"{reply}\nVERDICT: True or VERDICT: False") is None


@examples(500)
@given(REPLIES | st.text(), st.sampled_from([1.0, 10.0]))
def test_a_grade_lies_between_nought_and_one(reply: str, scale: float) -> None:
    grade = read_grade(reply, scale)
    assert grade is None or 0 <= grade <= 1


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return Target(tmp_path_factory.mktemp("imports"))


@examples(200)
@given(damages())
def test_an_import_is_taken_whole_or_refused(target: Target, damage) -> None:
    target.try_one(damage)


def test_the_target_sees_what_it_should(tmp_path: Path) -> None:
    """An import that is whole is taken; else nothing would ever be found."""
    target = Target(tmp_path)
    assert target.try_one([]) is True
    assert target.try_one([("traces.jsonl", "cut", 0.5, b"")]) is False
    shutil.rmtree(tmp_path)

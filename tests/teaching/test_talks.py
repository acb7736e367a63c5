"""Talks and tools of the bundled model: template, examples, trainer, and the model itself."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer
from typer.testing import CliRunner

from dev.bundled_model.batches import TALKS, WORLD, Encoder, pool_batches
from dev.bundled_model.examples import judging_example, solving_example
from dev.bundled_model.network import new_model, renew_unused
from dev.bundled_model.talk import Call, Talk, assistant, schema, user
from dev.bundled_model.talks import draw_talk, judged_talk
from dev.bundled_model.tokenizer import render
from dev.bundled_model.tools import SUITE_NAMES
from dev.bundled_model.train import Run, app
from dev.bundled_model.words import Words
from latent_agent.teaching import model_path
from latent_agent.teaching.world import split_of

PLAIN_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
MAGIC = schema("magic", "Apply magic.\nAt length.", {"input": "integer", "note": "string"})
TYPES = {"integer": int, "number": (int, float), "string": str}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(model_path())


def some_talks(count: int = 600, seed: int = 0) -> Iterator[Talk]:
    words = Words(Random(seed))
    return (draw_talk(words) for _ in range(count))


@pytest.mark.parametrize(
    "messages",
    [
        [user("Hello")],
        [{"role": "system", "content": "Be brief."}, user(" a\n"), assistant("b"), user("你好")],
        [user(""), {"role": "tool", "content": "5"}],
    ],
)
@pytest.mark.parametrize("tools", [None, []])
def test_without_tools_the_prompt_is_what_it_was(tokenizer, messages, tools) -> None:
    ids = tokenizer.apply_chat_template(
        messages, tools=tools, add_generation_prompt=True, return_dict=False
    )
    assert ids == tokenizer.apply_chat_template(
        messages, chat_template=PLAIN_TEMPLATE, add_generation_prompt=True, return_dict=False
    )


def test_tools_stand_in_a_system_turn_of_their_own(tokenizer) -> None:
    assert render(tokenizer, [user("Hi")], [MAGIC, schema("now", "", {})]) == (
        "<|im_start|>system\nTools:\nmagic(input: integer, note: string) - Apply magic.\nnow()"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tools_join_the_system_message(tokenizer) -> None:
    system = {"role": "system", "content": "Be brief."}
    rendered = render(tokenizer, [system, user("Hi"), system], [schema("now", "", {})])
    assert rendered == (
        "<|im_start|>system\nBe brief.\n\nTools:\nnow()<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("parameter", "kind"),
    [
        ({"type": ["string", "null"]}, "string or null"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}, "integer or null"),
        ({"$ref": "#/$defs/Colour"}, "any"),
        ({}, "any"),
    ],
)
def test_parameters_of_any_type_are_listed(tokenizer, parameter, kind) -> None:
    tool = schema("now", "", {"when": "string"})
    tool["function"]["parameters"]["properties"]["when"] = parameter
    assert f"\nnow(when: {kind})<|im_end|>" in render(tokenizer, [user("Hi")], [tool])


def test_a_tool_may_lack_parameters_and_a_long_description_is_cut(tokenizer) -> None:
    tool = {"type": "function", "function": {"name": "now", "description": "x" * 99}}
    assert f"\nnow() - {'x' * 60}<|im_end|>" in render(tokenizer, [user("Hi")], [tool])


@pytest.mark.parametrize(
    "arguments", [{"input": 3, "note": '你"'}, '{"input": 3, "note": "你\\""}']
)
def test_calls_are_written_in_the_hermes_form(tokenizer, arguments) -> None:
    call = Call("magic", {"input": 3, "note": '你"'})
    message = call.message()
    message["tool_calls"][0]["function"]["arguments"] = arguments
    written = (
        '<tool_call>\n{"name": "magic", "arguments": {"input": 3, "note": "你\\""}}\n</tool_call>'
    )
    assert str(call) == written
    turn = f"<|im_start|>assistant\n{written}<|im_end|>\n"
    assert turn in render(tokenizer, [user("Hi"), message])
    message["content"] = "Yes."
    message["tool_calls"] *= 2
    turn = f"<|im_start|>assistant\nYes.\n{written}\n{written}<|im_end|>\n"
    assert turn in render(tokenizer, [user("Hi"), message])


def test_every_call_fits_its_schema() -> None:
    calls = [talk for talk in some_talks() if talk.call]
    assert len(calls) > 200
    for talk in calls:
        assert talk.call
        (tool,) = (tool["function"] for tool in talk.tools
                   if tool["function"]["name"] == talk.call.name)  # fmt: skip
        kinds = tool["parameters"]["properties"]
        assert set(talk.call.arguments) <= set(kinds)
        for name, value in talk.call.arguments.items():
            assert isinstance(value, TYPES[kinds[name]["type"]])
        body = re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", talk.text)
        assert body
        assert json.loads(body[1]) == {"name": talk.call.name, "arguments": talk.call.arguments}


def test_arguments_can_be_copied_from_the_request() -> None:
    for talk in some_talks():
        if talk.kind in ("call", "call again"):
            assert talk.call
            for value in talk.call.arguments.values():
                assert str(value) in talk.messages[-1]["content"]


def test_tools_of_the_standard_suites_are_not_trained_on() -> None:
    names = {tool["function"]["name"] for talk in some_talks(2_000) for tool in talk.tools}
    assert len(names) > 500
    assert not names & SUITE_NAMES


def test_held_out_words_are_others_than_those_of_training() -> None:
    trained, held = Words(Random(0)), Words(Random(0), new_words=True, new_wordings=True)
    assert {split_of((held.word(),)) for _ in range(300)} == {"test"}
    assert "test" not in {split_of((trained.word(),)) for _ in range(300)}
    assert held.wording(["old"], ["new"]) == "new"


def test_only_what_can_be_known_is_learnt(tokenizer) -> None:
    encoder = Encoder(tokenizer)
    for talk in some_talks(200):
        ids, weights = encoder.talk_row(talk)
        head = tokenizer.encode(
            render(tokenizer, talk.messages, talk.tools), add_special_tokens=False
        )
        assert sum(weights) == pytest.approx(1.0)
        assert not any(weights[: len(head)])
        assert ids[len(head) : -1] == tokenizer.encode(talk.text, add_special_tokens=False)
        learnt = [token for token, weight in zip(ids, weights, strict=True) if weight][:-1]
        known = "".join(part.text for part in talk.reply if part.is_learnt)
        assert tokenizer.decode(learnt) == known


def test_judged_talks_are_right_as_often_as_wrong() -> None:
    words = Words(Random(0))
    examples = [judged_talk(words) for _ in range(600)]
    passed = [example.reply.endswith((" True", " Score 1")) for example in examples]
    assert 0.4 < sum(passed) / len(passed) < 0.6
    for example, good in zip(examples, passed, strict=True):
        said = re.match(r"Work (.+)\. It says (.+)\. (True|False|Score \d)$", example.reply)
        if said:
            assert (said[1] == said[2]) is good
            assert said[2] in example.prompt.split("\nAnswer: ")[1]


def test_the_first_stage_draws_no_talks(tokenizer) -> None:
    encoder, rng = Encoder(tokenizer), Random("train-0-3")
    rows = [
        encoder.row(solving_example(rng) if rng.random() < 0.4 else judging_example(rng))
        for _ in range(32)
    ]
    batches = pool_batches(encoder, WORLD, seed=0, pool=3, batch_size=4, met=())
    drawn = [
        row[: int(weight.nonzero()[-1]) + 1].tolist()
        for ids, weights in batches
        for row, weight in zip(ids, weights, strict=True)
    ]
    assert sorted(drawn) == sorted(ids for ids, _ in rows)


def test_a_stopped_second_stage_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    stage = replace(TALKS, asked=4, steps=16)
    whole = Run(tmp_path / "whole", stage, 0, model_path())
    list(whole.go(whole.model.model, batch_size=2))
    first = Run(tmp_path / "parts", stage, 0, model_path())
    steps = first.go(first.model.model, batch_size=2)
    for _ in range(8):
        next(steps)
    first.save()
    second = Run(tmp_path / "parts", stage, 0, model_path())
    assert second.step == 8
    list(second.go(second.model.model, batch_size=2))
    pairs = zip(whole.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_tokens_that_were_never_met_are_told_apart(tokenizer) -> None:
    model = new_model(tokenizer, seed=0)
    rows = model.model.embed_tokens.weight
    with torch.no_grad():
        rows[100:150] = torch.ones_like(rows[100:150]) + 0.1 * rows[100:150]
    before = rows.detach().clone()
    assert renew_unused(model, seed=0) == 50
    assert torch.equal(rows[:100], before[:100])
    assert torch.equal(rows[150:], before[150:])
    directions = torch.nn.functional.normalize(rows[100:150])
    assert (directions @ directions.T).fill_diagonal_(0).abs().max() < 0.6
    assert rows[100:150].std().item() == pytest.approx(rows[:100].std().item(), rel=0.1)
    assert renew_unused(model, seed=0) == 0


@pytest.mark.parametrize(
    "arguments", [["--stage", "talks"], ["--stage", "songs"], ["--start", "somewhere"]]
)
def test_a_stage_without_its_start_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()

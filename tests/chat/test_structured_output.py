"""Answers in JSON that fits a schema: from the grammar, never by luck."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal, TypedDict, get_args

import pytest
import torch
from jsonschema import validate
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1

from latent_agent import ChatLatentSeek
from latent_agent.chat.call_arguments import form_of
from latent_agent.errors import SettingError
from latent_agent.model.conversation import Turn
from latent_agent.reward import Score
from latent_agent.reward.base import Case, Reward
from latent_agent.tools.schema import closed, misfit
from latent_agent.tools.specs import json_schema
from latent_agent.tools.type_text import type_text
from tests.support.tool_templates import tool_tokenizer

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class Place(BaseModel):
    kind: Literal["city", "lake"]
    height: int | None


class Tree(BaseModel):
    """Calls itself: no schema of it can be written without a reference."""

    leaf: bool
    below: list["Tree"] = Field(default=[], max_length=1)


class Trip(BaseModel):
    """A trip."""

    day: Day
    days_ago: int = Field(ge=0, le=99)
    places: list[Place] = Field(min_length=1, max_length=2)
    by: Literal["car", "boat"] | bool
    guide: Literal["Ann", "Tom"] | None = None


class TripDict(TypedDict):
    """A trip."""

    day: Annotated[Day, ..., "when it was"]
    sure: Annotated[bool | None, None, "whether that is sure"]


class TripV1(BaseModelV1):
    """A trip."""

    day: Day


SCHEMA = {
    "title": "trip",
    "type": "object",
    "properties": {"day": {"enum": list(get_args(Day))}, "ago": {"$ref": "#/$defs/few"}},
    "required": ["day", "ago"],
    "$defs": {"few": {"type": "integer", "minimum": 1, "maximum": 7}},
}


@pytest.fixture(scope="module")
def chat() -> ChatLatentSeek:
    return ChatLatentSeek(model="bundled", memory=None, max_tokens=200, max_iterations=0)


@pytest.fixture(scope="module")
def calling() -> ChatLatentSeek:
    return ChatLatentSeek(
        model="bundled",
        tokenizer=tool_tokenizer("hermes"),
        memory=None,
        max_tokens=250,
        max_iterations=0,
    )


@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
@pytest.mark.parametrize("schema", [Trip, TripDict, TripV1, SCHEMA], ids=lambda s: str(s)[-16:])
def test_every_kind_of_schema_by_every_method(chat, calling, schema, method):
    model = calling if method == "function_calling" else chat
    structured = model.with_structured_output(schema, method=method)
    answer = structured.invoke(QUESTION)
    (streamed,) = structured.stream(QUESTION)
    assert streamed == answer
    if isinstance(schema, type) and schema is not TripDict:
        assert isinstance(answer, schema)
    else:
        assert answer["day"] in get_args(Day)
        validate(answer, json_schema(schema))


@pytest.mark.parametrize("question", ["Hello.", QUESTION, 'Say "{[,', "你好"])
def test_what_a_schema_says_holds_whatever_is_asked(chat, question):
    assert isinstance(chat.with_structured_output(Trip).invoke(question), Trip)
    patient = chat.model_copy(update={"max_tokens": 1000})  # a tree takes what there is
    assert isinstance(patient.with_structured_output(Tree).invoke(question), Tree)


def test_a_union_at_the_top_and_an_empty_object(chat):
    union = {"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no"]}]}
    assert chat.with_structured_output(union).invoke(QUESTION) in (True, False, "yes", "no")
    empty = {"title": "nothing", "type": "object", "properties": {}}
    assert chat.with_structured_output(empty).invoke(QUESTION) == {}


def test_any_json_object_without_a_schema():
    chat = ChatLatentSeek(model="bundled", memory=None, max_tokens=60, max_iterations=0)
    raw = chat.with_structured_output(method="json_mode", include_raw=True).invoke(QUESTION)
    assert raw["raw"].text.startswith("{")
    assert raw["parsed"] is not None or raw["parsing_error"] is not None


def test_raw_and_parsed(chat):
    told = chat.with_structured_output(Trip, include_raw=True).invoke(QUESTION)
    assert set(told) == {"raw", "parsed", "parsing_error"}
    assert told["parsing_error"] is None
    assert Trip.model_validate_json(told["raw"].text) == told["parsed"]
    assert told["raw"].response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_an_answer_that_is_cut_off_is_told(calling, method):
    short = calling.with_structured_output(Trip, method=method, max_tokens=20)
    with pytest.raises(OutputParserException, match=r"must be complete.*after 20 tokens.*raise"):
        short.invoke(QUESTION)
    with pytest.raises(OutputParserException, match="must be complete"):
        list(short.stream(QUESTION))
    raw = calling.with_structured_output(Trip, method=method, include_raw=True, max_tokens=20)
    told = raw.invoke(QUESTION)
    assert told["parsed"] is None
    assert "must be complete" in str(told["parsing_error"])
    assert told["raw"].response_metadata["finish_reason"] == "length"


def test_half_an_object_is_not_mended_to_a_whole_one(chat):
    text = {"type": "string", "minLength": 50}
    lax = {"title": "lax", "type": "object", "properties": {"text": text}, "required": ["text"]}
    with pytest.raises(OutputParserException, match="must be complete"):
        chat.with_structured_output(lax, max_tokens=12).invoke(QUESTION)


def test_with_tools_at_hand_it_is_a_call_or_the_schema(calling):
    tool = {
        "name": "pick", "description": "Pick one.",
        "parameters": {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]},
    }  # fmt: skip
    wanted = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    bound = calling.bind_tools([tool], response_format=wanted)
    form = form_of(bound.kwargs)
    engine = calling._shared_model().engine()
    for text, allowed in (
        ('{"day": "Monday", "ago": 3}', True),
        ('<tool_call>\n{"name": "pick", "arguments": {"n": 1}}\n</tool_call>', True),
        ('{"name": "pick"}', False),
        ("Monday", False),
    ):
        ids, constraint = engine.tokenizer.encode(text), form.constraint(engine)
        logits = torch.zeros(engine.vocabulary)
        told = (constraint.mask(logits, ids[:at])[token] == 0 for at, token in enumerate(ids))
        assert all(told) is allowed
    message = bound.invoke(QUESTION)
    assert message.tool_calls or misfit(json.loads(message.text), SCHEMA) is None


class Recorded(Reward):
    """Likes one weekday alone; keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[Case] = []

    def score(self, case: Case) -> Score:
        self.seen.append(case)
        return Score(value=0.0 if "Sunday" in case.answer else -1.0)


def test_the_search_stays_within_the_schema():
    reward = Recorded()
    chat = ChatLatentSeek(
        model="bundled", memory=None, max_tokens=120, reward=reward, prefix_tokens=40,
        learning_rate=0.3, max_iterations=10,
    )  # fmt: skip
    message = chat.with_structured_output(SCHEMA, include_raw=True).invoke(QUESTION)["raw"]
    assert message.response_metadata["latent_agent"]["iterations"] > 0
    assert len({case.answer for case in reward.seen}) > 1
    for case in reward.seen:
        assert misfit(json.loads(case.answer), SCHEMA) is None


def test_a_cut_off_answer_is_never_judged():
    reward = Recorded()
    chat = ChatLatentSeek(
        model="bundled", memory=None, max_tokens=10, reward=reward, max_iterations=2
    )
    told = chat.with_structured_output(Trip, include_raw=True).invoke(QUESTION)["raw"]
    assert reward.seen == []
    assert all(one == [-1.0] for one in told.response_metadata["latent_agent"]["rewards"])


def test_text_answers_are_judged_and_nothing_is_remembered(tmp_path):
    chat = ChatLatentSeek(model="bundled", memory=tmp_path / "m.sqlite3", max_iterations=1)
    told = chat.with_structured_output(SCHEMA, include_raw=True).invoke(QUESTION)["raw"]
    trace = told.response_metadata["latent_agent"]
    assert trace["forwarded_tokens"]["judge"] > 0
    assert trace["trace_id"] is None
    assert trace["memory_error"] is None


def test_threads_and_schemas_at_once(chat):
    schemas: list[Any] = [Trip, TripDict, SCHEMA, Place] * 2

    def answer(schema: Any) -> Any:
        return chat.with_structured_output(schema).invoke(QUESTION)

    one_by_one = [answer(schema) for schema in schemas]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(answer, schemas)) == one_by_one


def test_bad_requests(chat):
    with pytest.raises(SettingError, match=r"method must be.*'yaml'"):
        chat.with_structured_output(Trip, method="yaml")
    with pytest.raises(SettingError, match="only json_mode needs no schema"):
        chat.with_structured_output(None)
    with pytest.raises(SettingError, match=r"JSON schema.*objekt"):
        chat.with_structured_output({"title": "x", "type": "objekt"})
    with pytest.raises(SettingError, match=r"a Pydantic class.*7"):
        chat.with_structured_output(7)


def test_a_template_that_knows_no_tools_takes_every_method():
    tokenizer = tool_tokenizer("hermes")
    tokenizer.chat_template = "{%- for m in messages -%}{{- m['content'] -}}{%- endfor -%}"
    chat = ChatLatentSeek(model="bundled", tokenizer=tokenizer, memory=None, max_iterations=0)
    for method in ("json_schema", "function_calling"):
        assert chat.with_structured_output(SCHEMA, method=method).invoke(QUESTION)["day"]


WANTED = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}


def told(turns: list[Turn], **arguments: Any) -> list[Turn]:
    """What the prompt says, before the template says it."""
    return form_of(arguments).told(tool_tokenizer("hermes"), turns)[0]


def test_the_schema_is_told_in_the_system_prompt_and_nowhere_else():
    human = Turn("user", QUESTION)
    system, asked = told([human], response_format=WANTED)
    assert (system.role, asked) == ("system", human)
    assert system.content.endswith(type_text(SCHEMA))
    before = [Turn("system", "Be brief."), human, Turn("assistant", "Sunday"), Turn("user", "No.")]
    first, *rest = told(before, response_format=WANTED)
    assert first.content == f"Be brief.\n\n{system.content}"
    assert rest == before[1:]
    tools = [{"name": "pick", "parameters": {"type": "object", "properties": {}}}]
    assert told([human], response_format=WANTED, tools=tools) == [system, human]


def test_nothing_is_told_where_no_schema_was_asked_for():
    human = [Turn("user", QUESTION)]
    tools = [{"name": "pick", "parameters": {"type": "object", "properties": {}}}]
    assert told(human) == human
    assert told(human, response_format={"type": "json_object"}) == human
    assert told(human, tools=tools) == told(human, tools=tools, tool_choice="any") == human


def test_rewards_see_the_question_as_it_was_asked():
    reward = Recorded()
    chat = ChatLatentSeek(model="bundled", memory=None, reward=reward, max_iterations=1)
    raw = chat.with_structured_output(SCHEMA, include_raw=True).invoke(QUESTION)["raw"]
    assert {(case.question, case.conversation) for case in reward.seen} == {(QUESTION, QUESTION)}
    plain = ChatLatentSeek(model="bundled", memory=None, max_iterations=0).invoke(QUESTION)
    assert raw.usage_metadata
    assert plain.usage_metadata
    assert raw.usage_metadata["input_tokens"] > plain.usage_metadata["input_tokens"]


def test_what_no_grammar_can_express_is_left_out_or_told(chat):
    unique = {
        "title": "unique", "type": "object", "required": ["of"],
        "properties": {"of": {"type": "array", "uniqueItems": True, "maxItems": 2,
                              "items": {"enum": [1, 2]}}},
    }  # fmt: skip
    assert set(chat.with_structured_output(unique).invoke(QUESTION)) == {"of"}
    with pytest.raises(SettingError, match=r"a grammar can express.*uniqueItems"):
        chat.with_structured_output(unique, strict=True).invoke(QUESTION)
    never = {"title": "never", "type": "integer", "minimum": 5, "maximum": 1}
    with pytest.raises(SettingError, match=r"a grammar can express.*simplify"):
        chat.with_structured_output(never).invoke(QUESTION)


def test_open_ends_are_closed():
    made = closed({"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}}})
    assert made["additionalProperties"] is False
    assert made["properties"]["a"] == {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}
    free = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 10**17}}
    assert closed(free) == free
    literal = {"const": {"type": "object", "properties": {}}}
    assert closed(literal) == literal

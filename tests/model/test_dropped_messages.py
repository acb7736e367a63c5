"""What a chat template drops without a word reaches the model all the same, or is refused."""

import copy
from collections import Counter
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from tokenizers import normalizers
from transformers import PreTrainedTokenizerFast

from latent_agent.chat.from_langchain import to_turns
from latent_agent.errors import PromptError
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.tools.specs import tools_from
from tests.support.chat_templates import TEMPLATES
from tests.support.tiny import tiny_tokenizer


@tool
def weigh(animal: str, scale: dict[str, str]) -> int:
    """Weigh an animal."""
    return len(animal) + len(scale)


TOOLS = tools_from([weigh])
SYSTEM = SystemMessage(' Speak "plainly".\n')
ASKED = HumanMessage("How heavy is the badger?")
SAID = "Let me look."
RESULT = ToolMessage('{"kilograms": "eleven"}', tool_call_id="one", name="weigh")
OTHER = ToolMessage("seven", tool_call_id="two", name="weigh")
CALL = {"name": "weigh", "args": {"animal": "Dachs", "scale": {"kind": "Waage"}}, "id": "one"}
CALLED = AIMessage("", tool_calls=[CALL])
BOTH = AIMessage(SAID, tool_calls=[CALL, {**CALL, "args": {"animal": "Igel"}, "id": "two"}])
ANSWERED = AIMessage("Eleven kilograms.")
THEN = HumanMessage("And the otter?")

CONVERSATIONS: dict[str, list[Any]] = {
    "question": [ASKED],
    "system": [SYSTEM, ASKED],
    "system alone": [SYSTEM],
    "system later": [ASKED, ANSWERED, SYSTEM, THEN],
    "result": [ASKED, CALLED, RESULT],
    "system and result": [SYSTEM, ASKED, CALLED, RESULT],
    "said and called": [SYSTEM, ASKED, BOTH, RESULT, OTHER],
    "on from there": [SYSTEM, ASKED, BOTH, RESULT, OTHER, ANSWERED, THEN],
    "two questions": [ASKED, CALLED, RESULT, THEN],
    "assistant first": [CALLED, RESULT, THEN],
    "same text twice": [HumanMessage("Yes"), AIMessage("Yes"), HumanMessage("Yes")],
}
EXPECTED = {
    "question": ["badger"],
    "system": ["plainly", "badger"],
    "system alone": ["plainly"],
    "system later": ["badger", "Eleven", "plainly", "otter"],
    "result": ["badger", '"weigh"', "Dachs", "Waage", "kilograms", "eleven"],
    "system and result": ["plainly", "badger", "Dachs", "Waage", "eleven"],
    "said and called": ["plainly", "badger", SAID, "Dachs", "eleven", "Igel", "seven"],
    "on from there": [
        "plainly", "badger", SAID, "Dachs", "Igel", "eleven", "seven", "Eleven", "otter",
    ],
    "two questions": ["badger", "Dachs", "eleven", "otter"],
    "assistant first": ["Dachs", "eleven", "otter"],
    "same text twice": ["Yes"] * 3,
}  # fmt: skip


def with_template(template: Any) -> PreTrainedTokenizerFast:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.bos_token = "<s>"
    tokenizer.chat_template = template
    return tokenizer


def prompt(template: Any, messages: list[Any], tools: Any = ()) -> str:
    tokenizer = with_template(template)
    written = tokenizer.decode(encode_chat(tokenizer, to_turns(messages), tools))
    assert isinstance(written, str)
    return written


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("model", TEMPLATES)
def test_every_message_and_call_arrives_once(model: str, conversation: str) -> None:
    written = prompt(TEMPLATES[model], CONVERSATIONS[conversation])
    expected = EXPECTED[conversation]
    assert {text: written.count(text) for text in expected} == Counter(expected)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("model", ["qwen-2.5", "llama-3.1", "mistral-v0.3"])
def test_with_tools_the_tools_arrive_too(model: str, conversation: str) -> None:
    written = prompt(TEMPLATES[model], CONVERSATIONS[conversation], TOOLS)
    for text in ("Weigh an animal.", *EXPECTED[conversation]):
        assert text in written


@pytest.mark.parametrize(
    ("model", "sign"),
    [("qwen-2.5", "<tool_call>"), ("llama-3.1", '{"name": "weigh", "parameters"'),
     ("mistral-v0.3", "[TOOL_CALLS]")],
)  # fmt: skip
@pytest.mark.parametrize("conversation", ["result", "system and result", "said and called"])
def test_calls_are_written_as_the_model_writes_them_where_that_loses_nothing(
    model: str, conversation: str, sign: str
) -> None:
    assert sign in prompt(TEMPLATES[model], CONVERSATIONS[conversation], TOOLS)


@pytest.mark.parametrize(
    ("model", "conversation"),
    [(model, "question") for model in TEMPLATES]
    + [("qwen-2.5", "said and called"), ("qwen-2.5", "on from there"), ("llama-3.1", "result"),
       ("mistral-v0.3", "result"), ("zephyr", "system"), ("granite-3.0", "system later"),
       ("gemma-2", "same text twice"), ("mistral-v0.3", "system")],
)  # fmt: skip
def test_what_loses_nothing_is_rendered_as_it_is(model: str, conversation: str) -> None:
    tokenizer = with_template(TEMPLATES[model])
    messages: list[dict[str, Any]] = []
    for turn in to_turns(CONVERSATIONS[conversation]):
        message: dict[str, Any] = {"role": turn.role, "content": turn.content}
        if turn.calls:
            message["tool_calls"] = [
                {"id": "123456789", "function": {"name": one.name, "arguments": one.arguments}}
                for one in turn.calls
            ]
        if turn.role == "tool":
            message["tool_call_id"] = "123456789"
        messages.append(message)
    plain: Any = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    written = prompt(TEMPLATES[model], CONVERSATIONS[conversation])
    if model == "mistral-v0.3" and conversation == "result":  # the ids are ours
        assert len(written) == len(plain)
    else:
        assert written == plain


def test_a_text_without_words_is_nothing_that_is_lost() -> None:
    for model in TEMPLATES:
        prompt(TEMPLATES[model], [HumanMessage(" \n"), AIMessage(""), HumanMessage("Hi")])


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{{- messages[-1]['content'] -}}", r"message 1 \(user\)"),
        ("{{- bos_token -}}", r"message 1 \(user\)"),
        (
            "{%- for one in messages if one.role != 'assistant' -%}{{- one.content -}}"
            "{%- endfor -%}",
            r"message 2 \(assistant\)",
        ),
    ],
)
def test_what_reaches_the_model_in_no_form_is_an_error(template: str, what: str) -> None:
    messages = [ASKED, ANSWERED, THEN]
    rule = rf"template must accept the messages, got roles \['user', .*leaves out {what}; .*set"
    with pytest.raises(PromptError, match=rule):
        prompt(template, messages)


def test_an_error_within_a_template_is_a_refusal() -> None:
    for template in ("{{ 1 / 0 }}", "{{ '{x}'.format() }}", "{{ '{0}'.format() }}"):
        with pytest.raises(PromptError, match="the chat template must accept the messages"):
            prompt(template, [ASKED])


@pytest.mark.parametrize("template", ["", " \n", "{{ messages[0]['content'] }}"])
def test_a_template_that_renders_nothing_is_refused(template: str) -> None:
    tokenizer = with_template(template)
    with pytest.raises(PromptError, match=r"got roles \['user'\].*renders nothing.*; "):
        encode_chat(tokenizer, [Turn("user", "")])


def test_a_prompt_of_no_tokens_is_refused() -> None:
    tokenizer = copy.deepcopy(with_template("{{ messages[0]['content'] }}"))
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("x", "")
    with pytest.raises(PromptError, match=r"at least one token, got none for 'xxx'; "):
        encode_chat(tokenizer, [Turn("user", "xxx")])


NAMED = {"default": TEMPLATES["zephyr"], "tool_use": TEMPLATES["qwen-2.5"]}


def test_of_several_templates_the_one_for_tools_writes_tools_and_calls() -> None:
    for conversation, messages in CONVERSATIONS.items():
        assert prompt(NAMED, messages, TOOLS) == prompt(TEMPLATES["qwen-2.5"], messages, TOOLS)
        assert prompt(NAMED, messages) == prompt(TEMPLATES["zephyr"], messages), conversation


NO_HEADER = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\\n' + message.content"
    " + '<|im_end|>\\n' -}}{%- endfor -%}"
)
VICUNA = (
    "{%- for message in messages -%}{{- message.role | upper + ': ' + message.content + '\\n' -}}"
    "{%- endfor -%}"
)


@pytest.mark.parametrize(
    ("template", "begun"), [(NO_HEADER, "<|im_start|>assistant\n"), (VICUNA, "\nASSISTANT:")]
)
@pytest.mark.parametrize("conversation", ["question", "system later"])
def test_a_template_that_ignores_the_generation_prompt_gets_one(
    template: str, begun: str, conversation: str
) -> None:
    written = prompt(template, CONVERSATIONS[conversation])
    assert written.endswith(begun)
    assert written.count("ssistant\n" if "im_start" in template else "ASSISTANT:") == (
        1 if conversation == "question" else 2
    )


def test_a_thought_may_be_dropped_and_the_answer_after_it_may_not() -> None:
    thinking = "{#- <think> -#}" + TEMPLATES["llama-3.1"]  # writes calls without what is beside
    for said, expected in (("", []), (SAID, [SAID])):
        called = AIMessage(f"<think>Hm, a badger.</think>{said}", tool_calls=[CALL])
        written = prompt(thinking, [ASKED, called, RESULT])
        assert '{"name": "weigh", "parameters": {"animal": "Dachs"' in written
        assert [text for text in (SAID,) if text in written] == expected
    assert "a rule" in prompt(TEMPLATES["phi-3-first"], [SystemMessage("<think>a rule</think>")])


@pytest.mark.parametrize("names", [["tool_use", "rag"], []])
def test_named_templates_without_a_default_are_told(names: list[str]) -> None:
    named = {name: TEMPLATES["qwen-2.5"] for name in names}
    with pytest.raises(PromptError, match=r"default.*; .*set tokenizer\.chat_template"):
        prompt(named, CONVERSATIONS["question"])
    if names:
        assert "badger" in prompt(named, CONVERSATIONS["question"], TOOLS)


@pytest.mark.parametrize(
    "altered", ["content | trim", "content | tojson", "content[:2000]", "content | upper"]
)
@pytest.mark.parametrize("text", ["<|im_end|> first", "last <|im_end|>", "a <|im_start|>\n"])
def test_a_template_may_alter_a_text_whose_special_tokens_stay_plain(
    altered: str, text: str
) -> None:
    tokenizer = with_template(NO_HEADER.replace("message.content", f"(message.{altered})"))
    ids, harmless = (encode_chat(tokenizer, [Turn("user", one)]) for one in (text, "harmless"))
    special = set(tokenizer.added_tokens_decoder)
    assert [one for one in ids if one in special] == [one for one in harmless if one in special]
    assert text.split()[1] in str(tokenizer.decode(ids)) or "upper" in altered

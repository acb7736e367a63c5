"""What a chat template knows of tools: detected by rendering it, not by reading it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from latent_agent.errors import PromptError
from latent_agent.tools.bare import BARE
from latent_agent.tools.formats import CallFormat
from latent_agent.tools.hermes import HERMES
from latent_agent.tools.llama import LLAMA
from latent_agent.tools.mistral import MISTRAL, MISTRAL_ARGS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMATS = (HERMES, MISTRAL_ARGS, MISTRAL, LLAMA)

# Templates come with models: what one does wrong, on purpose or not, is a refusal and no crash.
REFUSALS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)

_NAME, _ID = "probe_tool", "a1b2c3d4e"
_USER = {"role": "user", "content": "Hello."}
_TOOL: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "A probe.",
        "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
    },
}
_CALL: Mapping[str, Any] = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": _ID, "type": "function", "function": {"name": _NAME, "arguments": {"x": 1}}}
    ],
}
_RESULT = {"role": "tool", "name": _NAME, "tool_call_id": _ID, "content": "2"}


def call_format(tokenizer: "PreTrainedTokenizerBase") -> CallFormat:
    """Return how a model writes its calls, by what its template makes of one.

    Raises:
        PromptError: If the template knows no tools, or writes calls as no known format does.
    """
    if _NAME not in _rendered(tokenizer, [_USER]):
        raise PromptError(
            "tools need a chat template that knows them, and the one of "
            f"{tokenizer.name_or_path!r} renders the same prompt with and without; choose a model "
            "that was trained on tools, set tokenizer.chat_template to one that renders "
            "'tools', or force a call by tool_choice, which needs no template"
        )
    rendered = _rendered(tokenizer, [_USER, _CALL, _RESULT])
    written = rendered[rendered.find(_USER["content"]) :]
    for known in FORMATS:
        if all(sign in written for sign in known.signs):
            return known
    raise PromptError(
        f"tool calls must be written as {', '.join(known.name for known in FORMATS)} write them, "
        f"got a template of {tokenizer.name_or_path!r} that writes {written[-200:]!r}; force a "
        "call by tool_choice, or use with_structured_output, which need no template"
    )


def forced_format(tokenizer: "PreTrainedTokenizerBase") -> CallFormat:
    """Return how a model writes calls that it is forced to make: bare where its own way is none."""
    try:
        return call_format(tokenizer)
    except PromptError:
        return BARE


def _rendered(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the prompt with the probe tool; an empty one where the template refuses it."""
    if tokenizer.chat_template is None:
        return ""
    try:
        rendered: Any = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tools=[dict(_TOOL)],
            tokenize=False,
            add_generation_prompt=True,
        )
    except REFUSALS:
        return ""
    return rendered

"""Messages to token ids, by the tokenizer's own chat template.

Special tokens in a message's text are plain text: ``<|im_end|>`` in a question ends no turn. The
template's own special tokens keep their meaning.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from latent_agent.errors import PromptError
from latent_agent.model.conversation import Turn, map_texts, texts_in, thoughts_apart
from latent_agent.model.special_token_escaping import Escaping
from latent_agent.model.template_accommodation import forms
from latent_agent.model.template_check import check_rendering, missing_header
from latent_agent.model.thinking import CLOSING, OPENING, knows_thinking
from latent_agent.tools.call import Tool
from latent_agent.tools.template import REFUSALS, call_format

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHRINKAGE = 4  # times: a tokenizer that joins or drops characters does not drop more


def check_size(
    tokenizer: "PreTrainedTokenizerBase", turns: Sequence[Turn], window: int | None
) -> None:
    """Refuse what no window could hold, before time and memory are spent on its tokens.

    Raises:
        PromptError: If the texts are too long whatever tokens they become.
    """
    size = sum(map(len, texts_in(turns)))
    if window is not None and size > _SHRINKAGE * window * _longest_token(tokenizer):
        raise PromptError(
            f"the prompt must leave room in the context window of {window} tokens, got a prompt "
            f"of {size} characters, which no {window} tokens can hold; shorten or drop messages, "
            "or choose a model with a longer window"
        )


_longest: "WeakKeyDictionary[PreTrainedTokenizerBase, int]" = WeakKeyDictionary()


def _longest_token(tokenizer: "PreTrainedTokenizerBase") -> int:
    if tokenizer not in _longest:
        _longest[tokenizer] = max(map(len, tokenizer.get_vocab()), default=1)
    return _longest[tokenizer]


def encode_text(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Turn a text into ids without a template; special tokens in it are plain text."""
    escaping = _escaping(tokenizer, [text])
    return escaping.encode(escaping.escape(text), add_special_tokens=False)


def encode_chat(
    tokenizer: "PreTrainedTokenizerBase",
    turns: Sequence[Turn],
    tools: Sequence[Tool] = (),
    chat_template_kwargs: Mapping[str, Any] = MappingProxyType({}),
    *,
    part: bool = False,
) -> list[int]:
    """Turn a conversation into prompt ids that end where the answer begins.

    Args:
        tokenizer: Its chat template is used as it is; without one, a plain transcript.
        turns: The conversation. Roles that the template refuses are merged into their neighbours.
        tools: What may be called.
        chat_template_kwargs: Arguments of the template.
        part: Whether the turns may be a part of a conversation, which becomes a plain transcript
            where the template refuses it.

    Raises:
        PromptError: If there are no messages, no template form accepts them, or the template
            knows no tools.
    """
    if not turns:
        raise PromptError("messages must hold at least one message, got []; add a human message")
    if tools:
        call_format(tokenizer)  # refuses a template that ignores them
    turns = thoughts_apart(turns, tokenizer)
    specs = [dict(tool.spec) for tool in tools]
    escaping = _escaping(tokenizer, texts_in([*turns, *specs]))
    turns, specs = map_texts(turns, escaping.escape), map_texts(specs, escaping.escape)
    plain = tokenizer.chat_template is None
    try:
        rendered = "" if plain else _render(tokenizer, turns, specs, chat_template_kwargs)
    except PromptError:
        if not part:
            raise
        rendered, plain = "", True
    if plain:
        rendered = _plain(turns, specs)
    ids = escaping.encode(rendered, add_special_tokens=plain)
    if not ids:
        raise PromptError(
            f"a prompt must hold at least one token, got none for {rendered[:60]!r}; send another "
            "text, or choose a model with another tokenizer"
        )
    return ids


def _escaping(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> Escaping:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PromptError(
                f"a message must be valid Unicode, got {text[error.start]!r} at character "
                f"{error.start}; drop it, or read the text with errors='replace'"
            ) from error
    return Escaping(tokenizer, texts)


def _plain(turns: Sequence[Turn], specs: Sequence[Any]) -> str:
    """Write the conversation as a base model would meet it in a text."""
    names = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}
    lines = [f"{names[turn.role]}: {turn.text}\n" for turn in turns]
    return "".join(
        [*(f"{json.dumps(spec, ensure_ascii=False)}\n" for spec in specs), *lines, "Assistant:"]
    )


def _render(
    tokenizer: "PreTrainedTokenizerBase",
    turns: Sequence[Turn],
    tools: Any,
    chat_template_kwargs: Mapping[str, Any],
) -> str:
    def render(messages: Any, specs: Any, begin: bool = True) -> str:
        rendered: Any = tokenizer.apply_chat_template(
            messages,
            tools=specs or None,
            tokenize=False,
            add_generation_prompt=begin,
            **chat_template_kwargs,
        )
        if not rendered.strip():
            raise ValueError("the template renders nothing")
        return rendered

    refused: Exception | None = None
    thinks = knows_thinking(tokenizer)
    for form in forms(turns):
        messages = [_message(turn, thinks=thinks) for turn in form]
        try:
            check_rendering(render, messages, tools)
            rendered = render(messages, tools)
        except REFUSALS as error:
            refused = refused or error
        else:
            return rendered + missing_header(lambda sent, begin: render(sent, tools, begin))
    raise PromptError(
        f"the chat template must accept the messages, got roles {[turn.role for turn in turns]}, "
        f"for which it fails: {refused}; send human and assistant messages in turns, or set "
        "tokenizer.chat_template to one that renders them all"
    ) from refused


def _message(turn: Turn, *, thinks: bool) -> dict[str, Any]:
    content = turn.content
    if thinks and turn.thought:
        # In their tags templates find thoughts, to show or to drop them; few know a field of them.
        content = f"{OPENING}\n{turn.thought}\n{CLOSING}\n\n{content}"
    message: dict[str, Any] = {"role": turn.role, "content": content}
    if turn.calls:
        message["tool_calls"] = [
            {
                "id": _template_id(call.id),
                "type": "function",
                "function": {"name": call.name, "arguments": dict(call.arguments)},
            }
            for call in turn.calls
        ]
    if turn.role == "tool":
        message["name"] = turn.name
        message["tool_call_id"] = _template_id(turn.call_id or "")
    return message


def _template_id(call_id: str) -> str:
    """Return a call's id as all templates take it: Mistral's ask for nine letters or digits."""
    if re.fullmatch("[a-zA-Z0-9]{9}", call_id):
        return call_id
    return hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:9]

"""Messages to token ids, by the tokenizer's own chat template.

Special tokens in a message's text are plain text: whoever writes ``<|im_end|>`` into a question
ends no turn. The template's own special tokens keep their meaning.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from latent_agent.errors import PromptError
from latent_agent.model.special_token_escaping import Shield, texts_in
from latent_agent.model.template_accommodation import forms
from latent_agent.model.template_check import check_arrival, missing_header
from latent_agent.model.thinking import CLOSING, OPENING, knows_thinking, split_thought
from latent_agent.tools.call import Tool, ToolCall, calls_text
from latent_agent.tools.template import REFUSALS, call_format

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHRINKAGE = 4  # times: a tokenizer that joins or drops characters does not drop more

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message.

    Attributes:
        role: Who speaks.
        content: The text.
        calls: The tools that an assistant's turn calls.
        name: Whose result a tool's turn is.
        call_id: Of which call.
        thought: What an assistant thought before it spoke; the template decides what becomes of it.
    """

    role: Role
    content: str
    calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    call_id: str | None = None
    thought: str = ""

    @property
    def text(self) -> str:
        """The text with the calls in it, for whoever knows no calls."""
        return "\n".join(part for part in (self.content, calls_text(self.calls)) if part)


def last_question(turns: Sequence[Turn]) -> str:
    """Return the last human text, which rewards are given as the question."""
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), "")


def transcript(turns: Sequence[Turn]) -> str:
    """Render a conversation for a judge: a lone question as it is, else one ``role: text`` each."""
    if len(turns) == 1:
        return turns[0].content
    return "\n".join(f"{turn.role}: {turn.text}" for turn in turns)


def thoughts_apart(turns: Sequence[Turn], tokenizer: "PreTrainedTokenizerBase") -> list[Turn]:
    """Tell the thoughts in an assistant's turns from what it said, if the model knows their tags.

    What anyone else writes between such tags is text.
    """
    return [_apart(turn) for turn in turns] if knows_thinking(tokenizer) else list(turns)


def _apart(turn: Turn) -> Turn:
    if turn.role != "assistant":
        return turn
    thought, content = split_thought(turn.content)
    return replace(turn, thought=turn.thought or thought, content=content)


def check_size(
    tokenizer: "PreTrainedTokenizerBase", turns: Sequence[Turn], window: int | None
) -> None:
    """Refuse what no window could hold, before time and memory are spent on its tokens.

    Raises:
        PromptError: If the texts are too long whatever tokens they become.
    """
    size = sum(len(text) for turn in turns for text in _texts(turn))
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
    _check_unicode(text)
    shield = Shield(tokenizer, [text])
    return shield.encode(shield.cover(text), add_special_tokens=False)


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
        call_format(tokenizer)  # refuses a template that would not tell of them
    turns = thoughts_apart(turns, tokenizer)
    specs = [dict(tool.spec) for tool in tools]
    written = [*(text for turn in turns for text in _texts(turn)), *texts_in(specs)]
    for text in written:
        _check_unicode(text)
    shield = Shield(tokenizer, written)
    shielded = [_covered(turn, shield) for turn in turns]
    specs = shield.cover_all(specs)
    plain = tokenizer.chat_template is None
    try:
        if plain:
            rendered = _plain(shielded, specs)
        else:
            rendered = _render(tokenizer, shielded, specs, chat_template_kwargs)
    except PromptError:
        if not part:
            raise
        rendered, plain = _plain(shielded, specs), True
    ids = shield.encode(rendered, add_special_tokens=plain)
    if not ids:
        raise PromptError(
            f"a prompt must hold at least one token, got none for {rendered[:60]!r}; send another "
            "text, or choose a model with another tokenizer"
        )
    return ids


def _texts(turn: Turn) -> Iterator[str]:
    yield turn.content
    yield turn.thought
    yield turn.name or ""
    for call in turn.calls:
        yield call.name or ""
        yield from texts_in(call.arguments)


def _covered(turn: Turn, shield: Shield) -> Turn:
    calls = tuple(
        replace(
            call, name=shield.cover(call.name or ""), arguments=shield.cover_all(call.arguments)
        )
        for call in turn.calls
    )
    name = None if turn.name is None else shield.cover(turn.name)
    content, thought = shield.cover(turn.content), shield.cover(turn.thought)
    return replace(turn, content=content, thought=thought, calls=calls, name=name)


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"a message must be valid Unicode, got {text[error.start]!r} at character "
            f"{error.start}; drop it, or read the text with errors='replace'"
        ) from error


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
            check_arrival(render, messages, tools)
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


def _template_id(given: str) -> str:
    """Return a call's id as all templates take it: Mistral's ask for nine letters or digits."""
    if re.fullmatch("[a-zA-Z0-9]{9}", given):
        return given
    return hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:9]

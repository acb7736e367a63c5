"""Messages to token ids, by the tokenizer's own chat template.

Special tokens in a message's text are plain text: whoever writes ``<|im_end|>`` into a question
ends no turn. The template's own special tokens keep their meaning.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from latent_agent.errors import PromptError

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: who speaks, and the text."""

    role: Role
    content: str


def last_question(turns: Sequence[Turn]) -> str:
    """Return the last human text, which rewards are given as the question."""
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), "")


def transcript(turns: Sequence[Turn]) -> str:
    """Render a conversation for a judge: a lone question as it is, else one ``role: text`` each."""
    if len(turns) == 1:
        return turns[0].content
    return "\n".join(f"{turn.role}: {turn.content}" for turn in turns)


def encode_chat(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> list[int]:
    """Turn a conversation into prompt ids that end where the answer begins.

    Args:
        tokenizer: Its chat template is used as it is; without one, a plain transcript.
        turns: The conversation. Roles that the template refuses are merged into their neighbours.

    Raises:
        PromptError: If there are no messages, or no template form accepts them.
    """
    if not turns:
        raise PromptError("messages must hold at least one message, got []; add a human message")
    for turn in turns:
        _check_unicode(turn.content)
    shield = Shield(tokenizer, turns)
    shielded = [replace(turn, content=shield.cover(turn.content)) for turn in turns]
    if tokenizer.chat_template is None:
        return shield.encode(_plain(shielded), add_special_tokens=True)
    return shield.encode(_render(tokenizer, shielded), add_special_tokens=False)


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"a message must be valid Unicode, got {text[error.start]!r} at character "
            f"{error.start}; drop it, or read the text with errors='replace'"
        ) from error


def _plain(turns: Sequence[Turn]) -> str:
    """Write the conversation as a base model would meet it in a text."""
    names = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}
    lines = [f"{names[turn.role]}: {turn.content}\n" for turn in turns]
    return "".join([*lines, "Assistant:"])


def _render(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> str:
    refused: Exception | None = None
    for accommodate in _ACCOMMODATIONS:
        messages = [
            {"role": turn.role, "content": turn.content} for turn in accommodate(list(turns))
        ]
        try:
            rendered: Any = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            refused = error
        else:
            return rendered
    raise PromptError(
        f"the chat template must accept the messages, got roles {[turn.role for turn in turns]}, "
        f"and it says: {refused}; send human and assistant messages in turns"
    ) from refused


def merge_neighbours(turns: list[Turn]) -> list[Turn]:
    """Join consecutive turns of one role, as most templates demand."""
    merged: list[Turn] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role != "tool":
            turn = replace(turn, content=f"{merged.pop().content}\n\n{turn.content}")
        merged.append(turn)
    return merged


def _tools_as_user(turns: list[Turn]) -> list[Turn]:
    return [replace(turn, role="user") if turn.role == "tool" else turn for turn in turns]


def _systems_as_user(turns: list[Turn]) -> list[Turn]:
    return [replace(turn, role="user") if turn.role == "system" else turn for turn in turns]


def _user_first(turns: list[Turn]) -> list[Turn]:
    return turns if turns[0].role in ("user", "system") else [Turn("user", ""), *turns]


_ACCOMMODATIONS: tuple[Callable[[list[Turn]], list[Turn]], ...] = (
    lambda turns: turns,
    merge_neighbours,
    lambda turns: merge_neighbours(_tools_as_user(turns)),
    lambda turns: _user_first(merge_neighbours(_systems_as_user(_tools_as_user(turns)))),
)


class Shield:
    """Keeps special tokens that stand in a message's text from being read as special.

    Each one is covered by a marker before the template is rendered, and encoded afterwards in
    parts, none of which is special. All other text goes through the tokenizer as one piece with
    the template around it, so that a harmless message gets the very ids of ``apply_chat_template``.
    (``split_special_tokens=True`` would destroy the template's own tokens.)
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> None:
        self._tokenizer = tokenizer
        added: dict[int, Any] = tokenizer.added_tokens_decoder
        self._added = frozenset(added)
        names = {str(token) for token in added.values()} | set(tokenizer.all_special_tokens)
        longest_first = sorted((name for name in names if name.strip()), key=len, reverse=True)
        used = {character for turn in turns for character in turn.content}
        free = (chr(code) for code in range(0xF0000, 0x10FFFE) if chr(code) not in used)
        self._covers = dict(zip(free, longest_first, strict=False))

    def cover(self, text: str) -> str:
        """Replace each special token in a text by a character that no template touches."""
        for character, name in self._covers.items():
            text = text.replace(name, character)
        return text

    def encode(self, rendered: str, *, add_special_tokens: bool) -> list[int]:
        """Encode a rendered prompt; what is covered becomes plain text."""
        covers = "".join(self._covers) or "\U000f0000"
        first, *rest = re.split(f"([{covers}])", rendered)
        ids: list[int] = self._tokenizer.encode(first, add_special_tokens=add_special_tokens)
        for part in rest:
            if part in self._covers:
                ids += self._as_plain(self._covers[part])
            else:
                ids += self._tokenizer.encode(part, add_special_tokens=False)
        return ids

    def _as_plain(self, text: str) -> list[int]:
        """Encode a special token's name in parts, none of which is an added token itself."""
        ids = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        if len(text) == 1 or not self._added.intersection(ids):
            return ids
        return self._as_plain(text[:1]) + self._as_plain(text[1:])

"""Other forms of a conversation, for chat templates that refuse or drop parts of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from latent_agent.model.conversation import Turn


def forms(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Yield a conversation as it is, then in other forms that say the same.

    All combinations of the milder changes come before a stronger change alone.
    """
    tried: list[list[Turn]] = []
    for strength in range(1 << len(_CHANGES)):
        form = list(turns)
        for change, bit in _CHANGES.items():
            if strength & bit:
                form = change(form)
        if form not in tried:
            tried.append(form)
            yield form


def _systems_as_user(turns: list[Turn]) -> list[Turn]:
    return [replace(turn, role="user") if turn.role == "system" else turn for turn in turns]


def _tools_as_user(turns: list[Turn]) -> list[Turn]:
    return [replace(turn, role="user") if turn.role == "tool" else turn for turn in turns]


def _calls_as_text(turns: list[Turn]) -> list[Turn]:
    return [replace(turn, content=turn.text, calls=()) for turn in turns]


def _merge_neighbours(turns: list[Turn]) -> list[Turn]:
    """Join consecutive turns of one role, as most templates demand."""
    merged: list[Turn] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role != "tool":
            before = merged.pop()
            content = "\n\n".join(part for part in (before.content, turn.content) if part)
            thought = "\n\n".join(part for part in (before.thought, turn.thought) if part)
            calls = before.calls + turn.calls
            turn = replace(turn, content=content, thought=thought, calls=calls)
        merged.append(turn)
    return merged


def _one_call_a_turn(turns: list[Turn]) -> list[Turn]:
    """Split turns that make several calls, each part followed by its result."""
    results = {turn.call_id: turn for turn in turns if turn.role == "tool"}
    split: list[Turn] = []
    for turn in turns:
        if turn.role == "tool" and turn.call_id is not None and turn in split:
            continue
        if len(turn.calls) < 2:
            split.append(turn)
            continue
        for number, call in enumerate(turn.calls):
            part = replace(turn, calls=(call,))
            split.append(replace(part, content="", thought="") if number else part)
            split += [results[call.id]] if call.id in results else []
    return split


def _text_before_calls(turns: list[Turn]) -> list[Turn]:
    """Split turns that hold both a text and calls: some templates write the calls alone."""
    split: list[Turn] = []
    for turn in turns:
        if turn.calls and turn.content.strip():
            split.append(replace(turn, calls=()))
            turn = replace(turn, content="", thought="")
        split.append(turn)
    return split


def _user_first(turns: list[Turn]) -> list[Turn]:
    first = turns[0]
    if first.role in ("user", "system"):
        return turns
    opening = replace(first, role="user", content="", calls=(), name=None, call_id=None, thought="")
    return [opening, *turns]


_CHANGES: Mapping[Callable[[list[Turn]], list[Turn]], int] = {
    _systems_as_user: 16,
    _tools_as_user: 64,
    _calls_as_text: 32,
    _merge_neighbours: 1,
    _one_call_a_turn: 2,
    _text_before_calls: 4,
    _user_first: 8,
}
"""In the order in which they are made; a stronger change has a higher bit."""

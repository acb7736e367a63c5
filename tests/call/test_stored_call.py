"""What a trace keeps of its call: nights ask it again as it was, and search as it searched."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from latent_agent.call.agent import LatentAgent
from latent_agent.call.answer_format import Form
from latent_agent.call.redraft import redraft
from latent_agent.call.stored_call import StoredCall, call_of, call_text
from latent_agent.cli.trace_view import draw
from latent_agent.errors import PriorError, SettingError
from latent_agent.model.conversation import Turn
from latent_agent.nights.dataset import part_of
from latent_agent.nights.regression_set import Anchor, read_anchors
from latent_agent.nights.replay import Replayer, pick_questions
from latent_agent.nights.search_settings import parse_settings, search_for
from latent_agent.nights.targets import shelves_for
from latent_agent.recall.memory_adapter import TraceMemory, embedder_name
from latent_agent.recall.stored_search import search_of, search_text
from latent_agent.reward import Case, Reward, Score
from latent_agent.settings import settings_for
from latent_agent.tools.call import Tool, ToolCall
from latent_memory import MAX_CONVERSATION, LatentMemory, Shelf, StoredTrace, Trace, TraceError
from tests.support.memories import trace
from tests.support.night_world import SEARCH, model, open_at, trace_for

TALK = (
    Turn("system", "You answer with one word."),
    Turn("user", "Who was there?"),
    Turn("assistant", "Eva."),
    Turn("user", "Item 7 is blue."),
)
TOOL = Tool(name="look", spec={"type": "function", "function": {"name": "look"}})


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with open_at(tmp_path) as opened:
        yield opened


class Noted(Reward):
    """Accepts nothing, and notes what it was asked."""

    deterministic = True

    def __init__(self) -> None:
        self.cases: list[tuple[str, str]] = []

    @property
    def id(self) -> str:
        return "tests:noted"

    def score(self, case: Case) -> Score:
        self.cases.append((case.conversation, case.answer))
        return Score(value=-0.3)


def stored_by_a_call(
    memory: LatentMemory, turns=TALK, settings=SEARCH, embedder: Any = None
) -> tuple[Trace, Noted, Any]:
    """Answer once with a memory; return the trace, what was judged, and the outcome."""
    reward = Noted()
    shelf = TraceMemory(memory, "default", reward.id, embedder=embedder)
    outcome = LatentAgent(model(), settings, reward, shelf).answer(turns)
    assert outcome.trace_id is not None
    stored = memory.get(outcome.trace_id)
    assert stored is not None
    return stored.trace, reward, outcome


# ---------------------------------------------------------------------- the conversation


def test_a_call_with_a_history_is_asked_again_with_it(memory: LatentMemory) -> None:
    kept, there, outcome = stored_by_a_call(memory)
    asked, here = call_of(kept), Noted()
    assert asked is not None
    assert asked.turns == TALK
    replay = Replayer(model=model(), settings=SEARCH, reward=here).replay(asked, None)
    assert here.cases == there.cases
    assert "You answer with one word." in here.cases[0][0]
    assert replay.forwarded == sum(outcome.forwarded_tokens.values())


def test_tools_that_could_be_called_are_asked_with() -> None:
    calls = (ToolCall(name="look", arguments={"at": ["a", 1]}, id="1"),)
    turns = (TALK[1], Turn("assistant", "", calls), Turn("tool", "Eva", name="look", call_id="1"))
    text = call_text(turns, Form(tools=(TOOL,), several=False))
    asked = call_of(replace(trace(1), query="Who was there?", conversation=text))
    assert asked == StoredCall(turns=turns, tools=(TOOL,), several=False)
    assert asked is not None
    assert asked.form == Form(tools=(TOOL,), several=False)


def test_a_question_by_itself_is_kept_once(memory: LatentMemory) -> None:
    kept, _, _ = stored_by_a_call(memory, [Turn("user", "Item 7 is blue.")])
    assert kept.conversation is None
    assert call_of(kept) == StoredCall.question("Item 7 is blue.")


def in_gate(conversation: str | None, query: str | None = None) -> StoredTrace:
    """A trace of the gate's part."""
    for number in range(100):
        made = replace(trace(1), query=query or f"Item {number}?", conversation=conversation)
        stored = StoredTrace(id=number, created=None, trace=made)  # type: ignore[arg-type]
        if part_of(stored) == "gate":
            return stored
    raise AssertionError


@pytest.mark.parametrize(
    "conversation",
    ["", "no JSON", "[]", '{"turns": []}', '{"turns": [{"role": "user", "content": "other"}]}'],
)
def test_what_cannot_be_asked_again_is_not_asked(conversation: str) -> None:
    assert pick_questions([in_gate(conversation)], 9, since=0, seed=0) == []
    assert len(pick_questions([in_gate(None)], 9, since=0, seed=0)) == 1


def test_a_conversation_that_is_too_long_is_not_kept_nor_asked(memory: LatentMemory) -> None:
    turns = [Turn("system", "x" * (MAX_CONVERSATION + 1)), Turn("user", "q")]
    assert call_text(turns, Form()) == ""
    with pytest.raises(TraceError, match=r"at most 65536 characters, got 65537; store ''"):
        memory.add(replace(trace(1), conversation="x" * (MAX_CONVERSATION + 1)))


def test_the_same_question_in_two_conversations_is_asked_twice() -> None:
    first = in_gate(None)
    query = first.trace.query
    other = call_text([Turn("system", "s"), Turn("user", query or "")], Form())
    second = replace(first, id=99, trace=replace(first.trace, conversation=other))
    assert len(pick_questions([first, second, first], 9, since=50, seed=0)) == 2


def test_an_anchor_may_have_a_system_prompt(tmp_path: Path) -> None:
    path = tmp_path / "anchors.jsonl"
    path.write_text('{"question": "q", "answer": "a", "system": "s"}\n')
    (anchor,) = read_anchors(path)
    assert anchor == Anchor(question="q", answer="a", system="s")
    assert anchor.asked.turns == (Turn("system", "s"), Turn("user", "q"))
    path.write_text('{"question": "q", "answer": "a", "system": 5}')
    with pytest.raises(SettingError, match="a system prompt must be a text"):
        read_anchors(path)


def test_a_trace_with_a_history_shows_its_whole_draft(memory: LatentMemory) -> None:
    kept, _, outcome = stored_by_a_call(memory, settings=replace(SEARCH, max_tokens=6))
    shown = redraft(kept, model(), "tiny")
    assert shown.text is not None
    assert shown.text.startswith(outcome.draft[:3])


# -------------------------------------------------------------------- where it is stored


def test_conversation_and_settings_go_where_the_trace_goes(tmp_path: Path) -> None:
    kept = {"conversation": "SECRET turns", "settings": '{"stop": ["SECRET"]}'}
    made = replace(trace(1), **kept)
    with open_at(tmp_path / "one") as memory, open_at(tmp_path / "two") as other:
        id_ = memory.add(made)
        memory.export(tmp_path / "export")
        other.import_(tmp_path / "export")
        for one in (memory, other):
            stored = one.get(id_)
            assert stored is not None
            assert {name: getattr(stored.trace, name) for name in kept} == kept
        memory.forget(ids=[id_])
        assert memory.verify() == []
    left = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert not [path for path in left if b"SECRET" in path.read_bytes()]


def test_a_changed_conversation_is_damage(memory: LatentMemory) -> None:
    id_ = memory.add(replace(trace(1), conversation="turns"))
    with memory.database.write() as connection:
        connection.exec_driver_sql("UPDATE texts SET conversation = NULL")
    (problem,) = memory.verify()
    assert (problem.kind, problem.trace) == ("trace", id_)


def test_without_texts_the_settings_alone_are_stored(tmp_path: Path) -> None:
    made = replace(trace(1), conversation="turns", settings="{}")
    with LatentMemory(tmp_path / "m.sqlite3", store_text=False) as memory:
        stored = memory.get(memory.add(made))
        assert stored is not None
        assert (stored.trace.conversation, stored.trace.settings) == (None, "{}")


# -------------------------------------------------------------------------- the settings


def test_a_call_leaves_how_it_searched(memory: LatentMemory) -> None:
    kept, _, _ = stored_by_a_call(memory)
    assert kept.settings is not None
    known = search_of(kept.settings).settings
    assert search_of(kept.settings).embedder is None
    assert known["prefix_tokens"] == 2
    search = search_for(memory, kept.shelf)
    assert search.settings == replace(
        settings_for(), **{name: getattr(SEARCH, name) for name in known},
        judge="checks", momentum=1.0, momentum_temperature=1.0, neighbours=0,
    )  # fmt: skip
    assert search.source == "as 1 of the newest 1 traces"


def test_arguments_of_the_chat_template_are_the_nights_too(memory: LatentMemory) -> None:
    """They are in the fingerprint, but for the date."""
    given = {"enable_thinking": False, "date_string": "1 May"}
    kept, _, _ = stored_by_a_call(memory, settings=replace(SEARCH, chat_template_kwargs=given))
    assert list(shelves_for(memory, model(), "default")) == [kept.shelf]
    for recipe in (None, "latentseek"):
        search = search_for(memory, kept.shelf, recipe)
        assert search.settings.chat_template_kwargs == {"enable_thinking": False}
    with pytest.raises(SettingError, match="a setting must be"):
        parse_settings(["chat_template_kwargs={}"])
    assert redraft(kept, model(), "tiny").text is not None


def shelf_with(memory: LatentMemory, *lengths: int | None) -> Shelf:
    """Traces that searched so many latents, oldest first; None: from before that was stored."""
    made = [
        replace(
            trace(1),
            settings=None if length is None else search_text(replace(SEARCH, prefix_tokens=length)),
        )
        for length in lengths
    ]
    memory.add_many(made)
    return made[0].shelf


@pytest.mark.parametrize(
    ("lengths", "expected", "source"),
    [
        ([None, None], 3, "recipe default, since no trace says"),
        ([None, 7], 7, "as 1 of the newest 2 traces"),
        ([7, 7, 7, 9, 9], 7, "as 3 of the newest 5 traces"),
        ([7, 9], 9, "as 1 of the newest 2 traces"),
        ([7] * 150 + [9] * 51, 9, "as 51 of the newest 100 traces"),
    ],
)
def test_a_night_searches_as_most_of_the_newest_traces_were(
    memory: LatentMemory, lengths: list[int | None], expected: int, source: str
) -> None:
    search = search_for(memory, shelf_with(memory, *lengths))
    assert search.settings.prefix_tokens == expected
    assert search.source.startswith(source)


def test_what_is_given_goes_over_what_the_traces_tell(memory: LatentMemory) -> None:
    shelf = shelf_with(memory, 7)
    search = search_for(
        memory, shelf, given=parse_settings(["rest=kept", "max_tokens=9", 'stop=["a"]'])
    )
    assert (search.settings.prefix_tokens, search.settings.rest) == (7, "kept")
    assert (search.settings.max_tokens, search.settings.stop) == (9, ("a",))
    assert search.source == "as 1 of the newest 1 traces, and max_tokens, rest, stop as given"
    share = search_for(memory, shelf, given=parse_settings(["fraction=0.5"]))
    assert (share.settings.prefix_tokens, share.settings.fraction) == (None, 0.5)
    assert search_for(memory, shelf, "latentevolve").settings.prefix_tokens == 15
    for wrong, said in (("max_tokens=0", "max_tokens must be at least 1, got 0"),
                        ("samples=4", "needs a temperature above 0")):  # fmt: skip
        with pytest.raises(SettingError, match=said):
            search_for(memory, shelf, given=parse_settings([wrong]))
    for wrong in ("prefix=3", "prefix_tokens", "neighbours=3", ""):
        with pytest.raises(SettingError, match="a setting must be name=value with one of"):
            parse_settings([wrong])


@pytest.mark.parametrize("settings", ["no JSON", "[]", '{"stop": 5, "later": 1}'])
def test_settings_that_an_import_brought_break_no_night(
    memory: LatentMemory, settings: str
) -> None:
    made = replace(trace(1), settings=settings)
    memory.add(made)
    assert search_for(memory, made.shelf).settings.stop == ()
    memory.add_many([replace(made, settings='{"max_tokens": "many"}')] * 2)
    with pytest.raises(SettingError, match=r"must be those of a call, got .*give --recipe"):
        search_for(memory, made.shelf)


def test_traces_of_another_embedder_say_how_to_run_their_night(memory: LatentMemory) -> None:
    embedder = DeterministicFakeEmbedding(size=8)
    kept, _, _ = stored_by_a_call(memory, embedder=embedder)
    with pytest.raises(PriorError, match=r"embedded by '.*Fake.*--embeddings module:attribute"):
        shelves_for(memory, model(), "default")
    assert list(shelves_for(memory, model(), "default", None, embedder)) == [kept.shelf]
    assert json.loads(kept.settings or "")["embedding"] == embedder_name(embedder)


def test_a_trace_is_shown_with_what_it_keeps_of_its_call() -> None:
    from rich.console import Console

    made = replace(trace_for("Item 7 is blue.", trace(1).shelf),
                   conversation=call_text(TALK, Form()), settings='{"samples": 3}')  # fmt: skip
    from datetime import UTC, datetime

    console = Console(width=80, record=True)
    stored = StoredTrace(id=1, created=datetime.now(UTC), trace=made)
    console.print(draw(stored, [], "not shown", marks=True))
    shown = console.export_text()
    assert "You answer with one word." in shown
    assert '{"samples": 3}' in shown

"""LatentSeekLLM and the agent as a Runnable: the same answers, in other clothes."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from latent_agent import ChatLatentSeek, LatentAgent, LatentSeekLLM, as_runnable
from latent_agent.call.answer_format import Form
from latent_agent.call.outcome import Outcome
from latent_agent.errors import CallCancelled, PromptError, SettingError
from latent_agent.model.registry import open_model
from latent_agent.recall.memory_adapter import TraceMemory
from latent_agent.settings import settings_for
from latent_agent.teaching import questions
from latent_agent.tools.specs import tools_from
from latent_memory import LatentMemory

ASKED = [question.text for question in questions("test", n=5, seed=7)]


@pytest.fixture(scope="module")
def chat() -> ChatLatentSeek:
    return ChatLatentSeek(model="bundled", memory=None)


@pytest.fixture(scope="module")
def answers(chat: ChatLatentSeek) -> list[str]:
    return [chat.invoke(text).text for text in ASKED]


class Runs(BaseTracer):
    """Keeps the runs that no other run holds."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)


# --------------------------------------------------------------------- the text model


async def test_the_answers_are_the_chat_models(answers: list[str]) -> None:
    llm = LatentSeekLLM(model="bundled", memory=None)
    assert [llm.invoke(text) for text in ASKED] == answers
    assert llm.batch(list(ASKED)) == answers
    assert await llm.abatch(list(ASKED)) == answers
    assert await llm.ainvoke(ASKED[0]) == answers[0]
    chunks = list(llm.stream(ASKED[0]))
    assert len(chunks) > 3
    assert "".join(chunks) == answers[0]
    assert "".join([chunk async for chunk in llm.astream(ASKED[0])]) == answers[0]


def test_in_a_chain(chat: ChatLatentSeek, answers: list[str]) -> None:
    llm = LatentSeekLLM(chat=chat)
    chain = PromptTemplate.from_template("{question}") | llm | StrOutputParser()
    assert chain.invoke({"question": ASKED[1]}) == answers[1]
    assert "".join(chain.stream({"question": ASKED[1]})) == answers[1]


def test_how_an_answer_came_about_is_told(chat: ChatLatentSeek) -> None:
    result = LatentSeekLLM(chat=chat).generate(ASKED[:2])
    for (generation,), text in zip(result.generations, ASKED, strict=False):
        details = chat.invoke(text).response_metadata["latent_agent"]
        assert generation.generation_info is not None
        assert generation.generation_info["latent_agent"] == details


def test_a_calls_arguments_reach_the_search(chat: ChatLatentSeek, answers: list[str]) -> None:
    llm = LatentSeekLLM(chat=chat)
    short = llm.invoke(ASKED[0], max_tokens=3)
    assert short == chat.invoke(ASKED[0], max_tokens=3).text != answers[0]
    word = answers[0].split()[1]
    assert llm.invoke(ASKED[0], stop=[word]) == chat.invoke(ASKED[0], stop=[word]).text
    assert word not in llm.bind(stop=[word]).invoke(ASKED[0])
    with pytest.raises(SettingError, match="threshold"):
        llm.invoke(ASKED[0], threshold=1)


async def test_namespaces_reach_the_memory(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        llm = LatentSeekLLM(model="bundled", memory=memory, reward=lambda _q, _a: -0.1)
        configs: Any = [{"configurable": {"namespace": name}} for name in ("ann", "bob")]
        llm.batch([ASKED[0]] * 2, configs)
        await llm.abatch([ASKED[1]] * 2, configs)
        for _ in llm.stream(ASKED[2], configs[0]):
            pass
        async for _ in llm.astream(ASKED[3], configs[1]):
            pass
        kept = {
            name: sorted(str(one.query) for one in memory.list(namespace=name))
            for name in ("ann", "bob", "default")
        }
    assert kept == {
        "ann": sorted([ASKED[0], ASKED[1], ASKED[2]]),
        "bob": sorted([ASKED[0], ASKED[1], ASKED[3]]),
        "default": [],
    }


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_trace_shows_the_chat_models_run_below_it(chat: ChatLatentSeek, way: str) -> None:
    runs = Runs()
    llm = LatentSeekLLM(chat=chat)
    list(getattr(llm, way)(ASKED[0], {"callbacks": [runs]}))
    assert [(run.run_type, run.name) for run in runs.roots] == [("llm", "LatentSeekLLM")]
    below = [child.name for child in runs.roots[0].child_runs]
    assert below == ["ChatLatentSeek"]


def test_it_takes_a_chat_model_or_its_arguments(chat: ChatLatentSeek) -> None:
    llm = LatentSeekLLM(model="bundled", memory=None, threshold=-0.4, tags=["mine"])
    assert (llm.chat.threshold, llm.tags) == (-0.4, ["mine"])
    both: dict[str, Any] = {"chat": chat, "threshold": -0.4}
    with pytest.raises(SettingError, match=r"got chat=.* and 'threshold'; give"):
        LatentSeekLLM(**both)
    with pytest.raises(SettingError, match="threshold must"):
        LatentSeekLLM(model="bundled", threshold=0.1)
    with pytest.warns(UserWarning, match="did you mean 'threshold'"):
        LatentSeekLLM(model="bundled", treshold=-0.1)


# --------------------------------------------------------------------- the agent as a Runnable


@pytest.fixture(scope="module")
def agent() -> LatentAgent:
    return LatentAgent(open_model("bundled"), settings_for())


async def test_the_agent_hands_on_outcomes(agent: LatentAgent, answers: list[str]) -> None:
    step = as_runnable(agent)
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    for outcome in (
        step.invoke(ASKED[0]),
        step.invoke([HumanMessage(ASKED[0])]),
        step.invoke([("human", ASKED[0])]),
        (prompt | step).invoke({"question": ASKED[0]}),
        await step.ainvoke(ASKED[0]),
        *step.batch([ASKED[0]]),
    ):
        assert isinstance(outcome, Outcome)
        assert (outcome.text, outcome.stopped) == (answers[0], "threshold")
    chain = step | (lambda outcome: (outcome.text, outcome.iterations))
    assert chain.invoke(ASKED[1])[0] == answers[1]
    with pytest.raises(PromptError, match="at least one message"):
        step.invoke([])


def test_a_calls_namespace_reaches_the_agents_memory(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        kept = TraceMemory(memory, "default", "mine")
        agent = LatentAgent(open_model("bundled"), settings_for(archive=-1.0), memory=kept)
        ours = as_runnable(agent)
        config: Any = {"configurable": {"namespace": "ann"}}
        first = ours.invoke(ASKED[0], config)
        assert first.trace_id is not None
        assert list(ours.invoke(ASKED[0], config).neighbours) == [first.trace_id]
        assert list(ours.invoke(ASKED[0]).neighbours) == []
        assert agent.memory is kept
        with pytest.raises(SettingError, match=r"namespace must be a text, got None; for example"):
            ours.invoke(ASKED[0], {"configurable": {"namespace": None}})


def test_a_calls_namespace_leaves_the_agents_tools_as_they_are(tmp_path: Path) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        kept, form = TraceMemory(memory, "default", "mine"), Form(tools=tools_from([add]))
        settings = settings_for(max_iterations=0, max_tokens=3)
        ours = as_runnable(LatentAgent(open_model("bundled"), settings, memory=kept, form=form))
        there = ours.invoke(ASKED[0], {"configurable": {"namespace": "ann"}})
        assert there.prompt_tokens == ours.invoke(ASKED[0]).prompt_tokens


async def test_a_cancelled_call_of_the_agent_stops_its_work(tmp_path: Path) -> None:
    began, stopped = threading.Event(), threading.Event()

    class Slow(LatentAgent):
        def answer(self, turns: Any, progress: Any = None) -> Outcome:
            began.set()
            stopped.wait(60)
            try:
                return super().answer(turns, progress)
            except CallCancelled:
                cancelled.append(True)
                raise

    cancelled: list[bool] = []
    call = asyncio.create_task(
        as_runnable(Slow(open_model("bundled"), settings_for())).ainvoke(ASKED[0])
    )
    await asyncio.to_thread(began.wait, 60)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    stopped.set()
    async with asyncio.timeout(60):
        while not cancelled:
            await asyncio.sleep(0.01)

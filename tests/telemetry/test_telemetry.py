"""What an operator sees: logs, spans and metrics, with OpenTelemetry's own SDK behind them."""

import json
import logging
import re
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from latent_agent import ChatLatentSeek
from latent_agent.call.stored_call import StoredCall
from latent_agent.errors import (
    CallCancelled,
    NightRunningError,
    NightStoppedError,
    PriorError,
)
from latent_agent.model.registry import open_model
from latent_agent.nights.job import Watch
from latent_agent.nights.lock import night_lock
from latent_agent.nights.night import consolidate
from latent_agent.nights.replay import Replayer
from latent_agent.nights.targets import job_for
from latent_agent.reward import Case, Reward
from latent_agent.reward.base import Score
from latent_agent.settings import settings_for
from latent_agent.teaching import questions
from latent_agent.telemetry import calls
from latent_agent.telemetry.instruments import COUNTERS, HISTOGRAMS
from latent_memory import LatentMemory, Limits
from tests.support import night_world
from tests.support.memories import run_python

DASHBOARD = Path(__file__).parents[2] / "examples" / "grafana-dashboard.json"
PLANTED = [question.text for question in questions("test", n=42, seed=5) if question.planted]
READER, SPANS = InMemoryMetricReader(), InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def sdk() -> Iterator[None]:
    """OpenTelemetry's SDK, as an application would set it up; it can be set up once."""
    metrics.set_meter_provider(MeterProvider([READER]))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(SPANS))
    trace.set_tracer_provider(provider)
    yield
    SPANS.shutdown()


@pytest.fixture(autouse=True)
def quiet() -> None:
    SPANS.clear()
    calls._warned.clear()


@pytest.fixture(scope="module")
def searched() -> str:
    """A question whose draft falls short."""
    chat = ChatLatentSeek(model="bundled", memory=None)
    return next(
        text
        for text in PLANTED
        if chat.invoke(text).response_metadata["latent_agent"]["iterations"] > 1
    )


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        yield memory


def measured() -> dict[str, Metric]:
    """All that was measured so far, by name."""
    found = READER.get_metrics_data()
    if found is None:
        return {}
    return {
        metric.name: metric
        for resource in found.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def total(name: str, **labels: str) -> float:
    """A counter's value, or how often a histogram was told."""
    metric = measured().get(f"latent_agent.{name}")
    points: list[Any] = list(metric.data.data_points) if metric else []
    return sum(
        point.value if hasattr(point, "value") else point.count
        for point in points
        if labels.items() <= dict(point.attributes).items()
    )


def summed(name: str) -> float:
    """The sum of all that a histogram was told."""
    metric = measured().get(f"latent_agent.{name}")
    points: list[Any] = list(metric.data.data_points) if metric else []
    return sum(point.sum for point in points)


def told(records: list[logging.LogRecord], event: str) -> list[dict[str, Any]]:
    return [vars(record) for record in records if getattr(record, "event", None) == event]


def test_a_call_is_told_to_log_span_and_metrics(
    memory: LatentMemory, searched: str, caplog
) -> None:
    SPANS.clear()
    caplog.set_level(logging.INFO, "latent_agent")
    before = {name: total(name) for name in (*COUNTERS, *HISTOGRAMS)}
    tokens = {stage: total("forwarded_tokens", stage=stage) for stage in ("draft", "judge")}
    chat = ChatLatentSeek(model="bundled", memory=memory)
    first, second = (chat.invoke(searched).response_metadata["latent_agent"] for _ in range(2))
    assert second["source"] == "memory"

    one, two = told(caplog.records, "call")
    assert one["stopped"] == first["stopped"]
    assert one["steps"] == first["iterations"]
    assert [one["reward"]] == max(first["rewards"])
    assert one["trace_id"] == first["trace_id"]
    assert one["namespace"] == "default"
    assert one["forwarded_judge"] == first["forwarded_tokens"]["judge"]
    assert (two["source"], two["neighbours"]) == ("memory", 1)
    assert 0 < two["recall_seconds"] < two["seconds"]

    span = SPANS.get_finished_spans()[0]
    attributes: Any = span.attributes
    assert span.name == "latent_agent.call"
    assert attributes["latent_agent.stopped"] == first["stopped"]
    assert attributes["latent_agent.steps"] == first["iterations"]
    steps = [dict(event.attributes or {}) for event in span.events if event.name == "step"]
    assert [attributes["step"] for attributes in steps] == list(range(1, first["iterations"] + 1))
    assert {event.name for event in span.events} >= {"recall", "draft", "verdict"}

    assert total("calls") == before["calls"] + 2
    assert total("warm_starts", source="memory") == 1
    assert total("traces", result="kept") == before["traces"] + 2
    for name in ("call.duration", "queue.duration", "recall.duration", "steps", "quality"):
        assert total(name) == before[name] + 2
    for stage, spent in tokens.items():
        bill = first["forwarded_tokens"][stage] + second["forwarded_tokens"][stage]
        assert total("forwarded_tokens", stage=stage) == spent + bill


class Scores(Reward):
    """Gives each different answer the next score, and keeps the book."""

    def __init__(self, *scores: Score) -> None:
        self.book: dict[str, Score] = {}
        self._scores = cycle(scores)

    def score(self, case: Case) -> Score:
        if case.answer not in self.book:
            self.book[case.answer] = next(self._scores)
        return self.book[case.answer]


@pytest.mark.parametrize(
    ("scores", "settings"),
    [
        # The draft scores best, but may not be accepted.
        ((Score(value=-0.05, vetoed=True), Score(value=-0.1)), {}),
        # One sample of a round is accepted: its mean is far below.
        (
            (Score(value=-0.9), Score(value=-0.8), Score(value=-0.1)),
            {"samples": 6, "temperature": 1.0, "learning_rate": 1.0},
        ),
    ],
    ids=["veto", "samples"],
)
def test_the_reward_that_is_told_is_that_of_the_answer_returned(
    searched: str, scores: tuple[Score, ...], settings: dict[str, Any], caplog
) -> None:
    caplog.set_level(logging.INFO, "latent_agent")
    SPANS.clear()
    reward, before = Scores(*scores), summed("quality")
    chat = ChatLatentSeek(model="bundled", memory=None, reward=reward, **settings)
    answer = chat.invoke(searched)
    assert answer.response_metadata["latent_agent"]["stopped"] == "threshold"
    (record,) = told(caplog.records, "call")
    assert reward.book[answer.text].value == record["reward"] == -0.1
    (span,) = SPANS.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["latent_agent.reward"] == -0.1
    assert summed("quality") - before == pytest.approx(0.9)

    bench = Replayer(
        model=open_model("bundled"),
        settings=settings_for(max_tokens=64, **settings),
        reward=Scores(*scores),
    )
    replay = bench.replay(StoredCall.question(searched), None)  # the gate counts the same
    assert (replay.accepted, replay.reward) == (True, -0.1)


def test_no_text_is_told_unless_it_is_asked_for(memory: LatentMemory, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    chat = ChatLatentSeek(model="bundled", memory=memory)
    answer = chat.invoke(PLANTED[0]).text
    draft = "".join(chat.invoke(PLANTED[1]).response_metadata["latent_agent"]["draft"] or "none")
    everything = repr([vars(record) for record in caplog.records]) + "".join(
        span.to_json() for span in SPANS.get_finished_spans()
    )
    assert len(told(caplog.records, "call")) == 2
    for text in (*PLANTED[:2], answer, draft):
        assert text not in everything
        assert json.dumps(text)[1:-1] not in everything
    caplog.clear()
    SPANS.clear()
    loud = ChatLatentSeek(model="bundled", memory=memory, log_text=True)
    answer = loud.invoke(PLANTED[2]).text
    (record,) = told(caplog.records, "call")
    assert (record["question"], record["answer"]) == (PLANTED[2], answer)
    assert PLANTED[2] not in "".join(span.to_json() for span in SPANS.get_finished_spans())


def test_a_call_that_fails_is_told_by_its_error_alone(caplog) -> None:
    caplog.set_level(logging.INFO, "latent_agent")
    chat = ChatLatentSeek(model="bundled", memory=None, max_waiting=0, max_calls=1)
    question = "SECRET " * 3000
    with pytest.raises(Exception, match="context window"):
        chat.invoke(question)
    (record,) = told(caplog.records, "failure")
    assert record["error"] == "PromptError"
    (span,) = SPANS.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "PromptError"
    assert span.status.status_code is StatusCode.ERROR
    assert total("failures", error="PromptError") == 1
    assert "SECRET" not in span.to_json() + repr(vars(caplog.records[0]))


def test_a_cancelled_call_is_no_error() -> None:
    import threading

    cancelled = threading.Event()
    cancelled.set()
    chat = ChatLatentSeek(model="bundled", memory=None)
    with pytest.raises(CallCancelled):
        chat.invoke(PLANTED[0], cancelled=cancelled)
    (span,) = SPANS.get_finished_spans()
    assert span.status.status_code is StatusCode.UNSET
    assert total("failures", error="CallCancelled") == 1


def test_too_many_new_traces_are_warned_of_once_and_cost_no_answer(
    memory: LatentMemory, caplog
) -> None:
    memory.set_limits(Limits(hourly=1))
    chat = ChatLatentSeek(model="bundled", memory=memory)
    metas = [chat.invoke(text).response_metadata["latent_agent"] for text in PLANTED[:4]]
    kept = [meta for meta in metas if meta["trace_id"] is not None]
    refused = [meta for meta in metas if "at most 1 new traces" in (meta["memory_error"] or "")]
    assert len(kept) == 1
    assert len(refused) >= 2
    assert total("traces", result="RateError") == len(refused)
    (warning,) = told(caplog.records, "memory")
    assert (warning["error"], warning["namespace"]) == ("RateError", "default")
    assert warning["levelname"] == "WARNING"


def test_nights_are_told_and_idle_ones_are_not(memory: LatentMemory, caplog) -> None:
    caplog.set_level(logging.INFO, "latent_agent")
    chat = ChatLatentSeek(model="bundled", memory=memory)
    chat.invoke(PLANTED[0])
    SPANS.clear()
    job = job_for(chat)
    with pytest.raises(PriorError, match="at least 20 traces"):
        consolidate(job)
    (record,) = told(caplog.records, "night")
    assert (record["verdict"], record["error"]) == ("failed", "TooLittleError")
    assert total("nights", verdict="failed") == 1
    (span,) = SPANS.get_finished_spans()
    assert span.name == "latent_agent.night"
    assert span.attributes is not None
    assert span.attributes["latent_agent.verdict"] == "failed"
    from dataclasses import replace

    waiting = replace(job, settings=replace(job.settings, if_new=50))
    assert consolidate(waiting).verdict == "idle"
    assert len(told(caplog.records, "night")) == len(SPANS.get_finished_spans()) == 1


def test_a_night_that_is_stopped_or_finds_another_at_work_has_not_failed(
    memory: LatentMemory, caplog
) -> None:
    caplog.set_level(logging.INFO, "latent_agent")
    shelf = night_world.day(memory, 30)
    stopped = Watch()
    stopped.stop.set()
    with pytest.raises(NightStoppedError):
        consolidate(night_world.job(memory, shelf, watch=stopped))
    with night_lock(memory.database), pytest.raises(NightRunningError):
        consolidate(night_world.job(memory, shelf))
    records = told(caplog.records, "night")
    assert [(one["verdict"], one["error"], one["levelname"]) for one in records] == [
        ("stopped", "NightStoppedError", "INFO"),
        ("busy", "NightRunningError", "INFO"),
    ]
    assert (total("nights", verdict="stopped"), total("nights", verdict="busy")) == (1, 1)


def prometheus_names(metric: Metric) -> set[str]:
    """The names that Prometheus knows a metric by, as OpenTelemetry's specification says."""
    name = metric.name.replace(".", "_")
    unit = {"s": "seconds", "1": "ratio"}.get(metric.unit or "")
    is_histogram = metric.name.removeprefix("latent_agent.") in HISTOGRAMS
    if unit and (unit != "ratio" or is_histogram):
        name = f"{name}_{unit}"
    return {f"{name}_{end}" for end in (("bucket", "sum", "count") if is_histogram else ("total",))}


def test_feedback_is_counted_and_logged_without_what_was_said(
    memory: LatentMemory, caplog: pytest.LogCaptureFixture
) -> None:
    chat = ChatLatentSeek(model="bundled", memory=memory, max_iterations=0, max_tokens=5)
    message = chat.invoke("Hello")
    with caplog.at_level(logging.INFO, "latent_agent"):
        chat.feedback(message, 1.0)
        chat.feedback(message, comment="marmalade", correction="marmalade", source="test")
    points: Any = measured()["latent_agent.ratings"].data.data_points
    counted = {tuple(sorted(point.attributes.items())): point.value for point in points}
    assert counted == {
        (("corrected", False), ("rating", "up"), ("source", "user")): 1,
        (("corrected", True), ("rating", "down"), ("source", "test")): 1,
    }
    logged = [record for record in caplog.records if record.name == "latent_agent.ratings"]
    assert [record.__dict__["score"] for record in logged] == [1.0, 0.0]
    assert not any("marmalade" in str(record.__dict__) for record in caplog.records)


def test_the_dashboard_shows_what_is_measured_and_nothing_else() -> None:
    """The tests before this one have made each metric be told at least once."""
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    text = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    shown = set(re.findall(r"latent_agent_\w+", text))
    emitted = {name: prometheus_names(metric) for name, metric in measured().items()}
    assert set(emitted) == {f"latent_agent.{name}" for name in (*COUNTERS, *HISTOGRAMS)}
    assert shown <= set().union(*emitted.values())
    assert [name for name, known in emitted.items() if not known & shown] == []
    labels = {
        (metric.name.replace(".", "_"), label)
        for metric in measured().values()
        for point in metric.data.data_points
        for label in point.attributes or {}
    }
    by = re.findall(r"by \((\w+)\) \(\w+\((latent_agent_\w+?)_total", text)
    assert by
    assert {(name, label) for label, name in by} <= labels


@pytest.mark.slow
def test_without_opentelemetry_calls_are_answered_and_logged() -> None:
    done = run_python(
        "import sys, logging\n"
        "sys.modules['opentelemetry'] = None\n"
        "from latent_agent import ChatLatentSeek\n"
        "from latent_agent.telemetry.instruments import instruments\n"
        "logging.basicConfig(level=logging.INFO, format='%(name)s %(event)s', stream=sys.stdout)\n"
        "logging.getLogger().handlers[0].addFilter(logging.Filter('latent_agent.calls'))\n"
        "chat = ChatLatentSeek(model='bundled', memory=None)\n"
        f"assert chat.invoke({PLANTED[0]!r}).text\n"
        "assert instruments() is None\n"
    )
    assert done.stdout.split() == ["latent_agent.calls", "call"]


def test_other_work_than_calls_is_not_counted() -> None:
    """Replays at night and measurements ask the agent itself."""
    from latent_agent.call.agent import LatentAgent
    from latent_agent.model.conversation import Turn
    from latent_agent.settings import settings_for

    before = total("calls")
    LatentAgent(open_model("bundled"), settings_for()).answer([Turn("user", PLANTED[0])])
    assert total("calls") == before
    assert SPANS.get_finished_spans() == ()

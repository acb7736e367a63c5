"""``latent-agent report``: one HTML page about a memory, opened in a browser where there is one."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from typer.testing import CliRunner

from latent_agent.cli import app
from latent_agent.server.memory_page.charts import Chart
from latent_agent.server.memory_page.page import template
from latent_memory import LatentMemory
from latent_memory.overview import overview
from latent_memory.priors.nights import Result, begin_night, end_night
from latent_memory.trace_rows import to_time
from tests.support.memories import in_namespace, trace

HOSTILE = "<script>document.title = 'taken'</script>\x1b[31m<img src=x onerror=alert(1)> & \x07'\""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
VOID = {"meta", "line", "rect", "circle", "path", "br"}
FIRST = datetime(2026, 1, 1, 9, tzinfo=UTC)


class Tags(HTMLParser):
    """A page's tags, which must be closed in the order in which they were opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def page(memory: Path, *words: str) -> str:
    """Write the report beside the memory; return it, once it was seen to hold together."""
    out = memory.parent / "report.html"
    arguments = ["report", "--memory", str(memory), "--out", str(out), *words]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    made = out.read_text("utf-8")
    tags = Tags(made)
    assert "script" not in {tag for tag, _ in tags.seen}
    assert {"src", "href"}.isdisjoint({name for _, has in tags.seen for name in has}), "one file"
    assert "default-src 'none'" in made
    return made


def opened(path: Path) -> str:
    """Open a page in a browser as wide as a phone; return what became of it, as HTML."""
    assert CHROMIUM is not None
    folder = path.parent / "chromium"
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}",
         "--window-size=390,1400", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.sqlite3"


def stored_on(memory: LatentMemory, day: dict[int, int]) -> None:
    """Move traces to other days, as if they had been stored then."""
    with memory.database.write() as connection:
        for id_, days in day.items():
            when = to_time(FIRST + timedelta(days=days))
            connection.exec_driver_sql("UPDATE traces SET created = ? WHERE id = ?", (when, id_))


def test_an_empty_memory_has_a_page(path: Path) -> None:
    LatentMemory(path).close()
    tags = Tags(page(path))
    assert "nothing has been asked yet" in tags.text
    assert "No night yet" in tags.text
    assert "svg" not in {tag for tag, _ in tags.seen}


def test_one_trace_has_a_page(path: Path) -> None:
    with LatentMemory(path) as memory:
        memory.add(trace(1))
    tags = Tags(page(path))
    assert "1 traces" in tags.text
    assert "2.00 gradient steps a question" in tags.text
    assert "-0.12 mean reward" in tags.text
    assert "100% of calls" not in tags.text
    assert sum(tag == "svg" for tag, _ in tags.seen) == 6
    assert "question 1" not in tags.text


def test_texts_are_shown_only_if_asked_for_and_never_obeyed(path: Path) -> None:
    with LatentMemory(path) as memory:
        shelf = in_namespace("<b>ns</b>\x1b]0;x\x07")
        memory.add(trace(1, query=HOSTILE, answer=HOSTILE, stopped="<i>why</i>", shelf=shelf))
        night = begin_night(memory.database, shelf, seed=0, inputs={})
        result = Result(verdict="refused", reason="<u>no</u>\x1b[0m", seconds=3.0)
        end_night(memory.database, night, result)
    without, texts = page(path), page(path, "--texts")
    assert "document.title" not in without
    assert "document.title" in Tags(texts).text
    for made in (without, texts):
        assert {"b", "span", "svg"} <= {tag for tag, _ in Tags(made).seen}
        assert {"img", "u"}.isdisjoint({tag for tag, _ in Tags(made).seen})
        assert not re.search("[\x00-\x09\x0b-\x1f]", made)
        assert "<b>ns</b>" in Tags(made).text
        assert "<u>no</u>" in Tags(made).text


def test_a_namespace_is_told_alone(path: Path) -> None:
    with LatentMemory(path) as memory:
        memory.add_many(trace(number) for number in range(3))
        memory.add(trace(9, shelf=in_namespace("other"), query="theirs", steps=7))
    tags = Tags(page(path, "--namespace", "default", "--texts"))
    assert "3 traces" in tags.text
    assert "theirs" not in tags.text
    assert "other" not in [text.strip() for text in tags.texts]


def test_days_are_summed_up_and_empty_ones_kept(path: Path) -> None:
    with LatentMemory(path) as memory:
        memory.add(trace(1, steps=4, score=-0.5))
        memory.add(trace(2, steps=0, score=0.0, neighbours=(1,)))
        memory.add(trace(3, steps=1, score=-1.0, prior="5"))
        memory.add(trace(4, steps=1, score=-0.25))
        stored_on(memory, {1: 0, 2: 0, 3: 2, 4: 2})
        found = overview(memory.database)
        wide = overview(memory.database, most=2)
    assert [part.traces for part in found.stretches] == [2, 0, 2]
    assert [part.steps for part in found.stretches] == [2.0, 0.0, 1.0]
    assert [part.warm for part in found.stretches] == [1, 0, 1]
    assert found.whole is not None
    assert (found.whole.warm, found.whole.at_once) == (2, 1)
    assert found.scores == [1, 0, 0, 0, 0, 1, 0, 1, 0, 1]
    assert found.steps == {0: 1, 1: 2, 4: 1}
    assert (wide.days, [part.traces for part in wide.stretches]) == (2, [2, 2])


def many(path: Path, count: int, days: int) -> None:
    """Fill a memory with traces over many days, copied inside the database from one."""
    with LatentMemory(path) as memory:
        memory.add(trace(1))
        stored_on(memory, {1: 0})
        with memory.database.write() as connection:
            names = [row[1] for row in connection.exec_driver_sql("PRAGMA table_info(traces)")]
            same = ", ".join(name for name in names if name not in {"id", "created", "steps"})
            connection.exec_driver_sql(
                f"INSERT INTO traces (created, steps, {same}) "
                f"SELECT ?, ?, {same} FROM traces WHERE id = 1",
                [(to_time(FIRST + timedelta(days=at * days // count)), at % 11)
                 for at in range(1, count)],
            )  # fmt: skip


def test_twenty_thousand_traces_are_summed_up_by_the_database(path: Path) -> None:
    many(path, 20_000, days=400)
    asked: list[str] = []

    def note(*told: Any) -> None:
        asked.append(told[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with LatentMemory(path, mode="read") as memory:
            asked.clear()
            found = overview(memory.database)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    reads = [statement for statement in asked if "FROM traces" in statement]
    assert len(reads) == 6
    assert all("count(*)" in statement for statement in reads), "no trace is read by itself"
    assert len(found.stretches) <= 60
    assert sum(part.traces for part in found.stretches) == found.traces == 20_000
    assert sum(found.steps.values()) == 20_000
    made = page(path)
    assert "20,000" in made
    assert len(made) < 60_000, "the page does not grow with the memory"


def test_what_cannot_be_written_is_said(path: Path, tmp_path: Path) -> None:
    LatentMemory(path).close()
    before = path.read_bytes()
    for out, said in ((path, "must not replace the memory"), (tmp_path / "no" / "x", "exists")):
        result = CliRunner().invoke(app, ["report", "--memory", str(path), "--out", str(out)])
        assert result.exit_code != 0
        assert said in str(result.exception)
    assert path.read_bytes() == before


def test_json_tells_the_file(path: Path, tmp_path: Path) -> None:
    LatentMemory(path).close()
    out = tmp_path / "page.html"
    words = ["report", "--memory", str(path), "--out", str(out), "--json"]
    told = json.loads(CliRunner().invoke(app, words).stdout)
    assert told == {"out": str(out), "bytes": out.stat().st_size}


def test_charts_say_in_words_what_they_show() -> None:
    line = Chart(title="Steps", ends=("a", "b"), lines=[("steps", [4.0, None, 1.0])])
    assert line.says == "Steps. steps: 4.00 at first, 1.00 at last"
    bars = Chart(title="Traces", bars=[("0", 3), ("1", 0)])
    assert bars.says == "Traces. 0: 3"
    drawn = Tags(template("chart.svg.j2").render(chart=bars)).seen
    assert [has["height"] != "0.0" for tag, has in drawn if tag == "rect"] == [True, False]


@pytest.mark.parametrize(
    ("values", "path", "dots"),
    [
        ([4.0, None, 1.0], "M95.0 10.0M299.0 133.0", 2),
        ([None, 4.0, 2.0], "M197.0 10.0L299.0 92.0", 2),
        ([1.0] * 30 + [None, 1.0], None, 1),  # many places: lone points beside a gap are dots
    ],
)
def test_a_gap_breaks_a_line(values: list[float | None], path: str | None, dots: int) -> None:
    chart = Chart(title="Steps", ends=("a", "b"), lines=[("steps", values)])
    drawn = Tags(template("chart.svg.j2").render(chart=chart)).seen
    (line,) = [has["d"] for tag, has in drawn if has.get("class") == "line line-1"]
    assert line is not None
    assert path in (None, line)
    assert line.count("M") == 1 + values[1:-1].count(None)
    assert sum(tag == "circle" for tag, _ in drawn) == dots


def test_a_browser_shows_it(path: Path) -> None:
    with LatentMemory(path) as memory:
        memory.add_many(trace(number, query=HOSTILE) for number in range(5))
    made = Tags(page(path, "--texts"))
    # Without a browser the page holds together at least, as page() saw.
    shown = made if CHROMIUM is None else Tags(opened(path.parent / "report.html"))
    assert [tag for tag, _ in shown.seen] == [tag for tag, _ in made.seen], "nothing was fixed"
    assert shown.text == made.text, "nothing ran"
    assert "document.title = 'taken'" in shown.text

"""Methods, controls, a run that survives a kill, its report, and calibration."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.cli import app
from latent_agent.cli.evaluate import given_settings
from latent_agent.errors import EvaluationError, SettingError
from latent_agent.evaluation.checking import WORLD, checker_by
from latent_agent.evaluation.items import Item
from latent_agent.evaluation.plots import draw_all, draw_settings, line_figures
from latent_agent.evaluation.records import Record, read_records
from latent_agent.evaluation.report import write_report
from latent_agent.evaluation.run import evaluate, peek
from latent_agent.evaluation.setup import EvaluationRequest, experiment, written
from latent_agent.evaluation.specs import KNOWN, Spec, parse_methods, swept
from latent_agent.evaluation.streams import replayed
from latent_agent.evaluation.study import Study
from latent_agent.evaluation.summary import summarise
from latent_agent.evaluation.tables import Figures, sweep_rows, swept_settings
from latent_agent.nights.job import Watch
from latent_agent.reward import SelfReward
from latent_memory import LatentMemory, Shelf, Trace
from tests.support.tiny import tiny_model, tiny_tokenizer

pytestmark = pytest.mark.timeout(900)  # dozens of calls, on a machine that may be busy

SMALL = EvaluationRequest(
    methods="all,latentseek+stream,best-of-n+psrm", questions=7, train="bundled:train",
    train_questions=42, draw=2, night_calls=0, settings={"max_iterations": 4},
)  # fmt: skip
ANY = Item(key="", question="", truth="", world=True)
COMMAND = (
    "evaluate", "--methods", "best-of-n,latentseek,latentseek+stream,noise",
    "--questions", "7", "--max-iterations", "2",
)  # fmt: skip


def run(asked: EvaluationRequest, folder: Path, **parts):
    made = experiment(asked)
    finished = evaluate(made.bench, made.plan, folder, written(asked, made), Watch(**parts))
    return finished, written(asked, made)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """All methods on a few questions of the teaching world, with the report."""
    folder = tmp_path_factory.mktemp("evaluation")
    finished, told = run(SMALL, folder)
    summary = summarise(finished.records, finished.prepared)
    write_report(folder, summary, finished.records, told)
    return SimpleNamespace(
        folder=folder, records=finished.records, prepared=finished.prepared, summary=summary
    )


def of(small, method: str) -> list[Record]:
    return [record for record in small.records if record.method == method]


def test_every_method_answers_every_question(small):
    methods = set(KNOWN)
    assert len({record.key for record in small.records}) == len(small.records) == 7 * len(methods)
    assert {record.method for record in small.records} == methods
    assert [record.error for record in small.records if record.error] == []
    for record in small.records:
        said = WORLD.final(ANY, record.text)
        assert record.right == (said == record.truth)
        assert record.points[-1].answer_right == record.right
        assert 0 < record.points[-1].forwarded <= record.cost
        spent = [point.forwarded for point in record.points]
        assert spent == sorted(spent)


def test_answers_at_once_are_those_of_one_after_the_other(tmp_path):
    asked = replace(SMALL, methods="greedy,best-of-n,latentseek,noise", train=None)
    apart, together = (
        run(replace(asked, at_once=most), tmp_path / str(most))[0].records for most in (1, 5)
    )
    assert [replace(one, seconds=0) for one in apart] == [
        replace(one, seconds=0) for one in together
    ]


def test_all_methods_begin_with_the_same_draft(small):
    greedy = {record.item: record.text for record in of(small, "greedy")}
    for method in ("self-consistency", "best-of-n", "latentseek", "flip", "noise"):
        assert {record.item: record.draft for record in of(small, method)} == greedy


def test_a_perfect_judge_never_spoils_an_answer(small):
    right = {record.item for record in of(small, "greedy") if record.right}
    for method in ("latentseek+psrm", "best-of-n+psrm"):
        rows = of(small, method)
        assert right <= {record.item for record in rows if record.right}
        assert all((record.stopped == "threshold") == record.right for record in rows)
        assert all(record.forwarded["judge"] == 0 for record in rows)


def test_self_consistency_returns_what_most_answers_say(small):
    for record in of(small, "self-consistency"):
        assert record.steps == 4
        finals = [WORLD.final(ANY, point.text) for point in record.points]
        votes = {final: finals.count(final) for final in finals if final is not None}
        said = WORLD.final(ANY, record.text)
        assert said is None or votes[said] == max(votes.values())
        assert all(point.reward is None for point in record.points)


def test_a_flip_changes_one_token_and_takes_no_gradient(small):
    assert any(record.steps for record in of(small, "flip"))
    for record in of(small, "flip"):
        texts = [point.text for point in record.points if point.source == "search"]
        assert len(texts) <= record.steps
        assert all(text != record.draft for text in texts)


def test_memory_and_priors_are_read_and_never_written(small):
    for method in ("latentseek+memory", "latentseek+both", "tokens", "shuffled-memory"):
        assert all(record.neighbours for record in of(small, method)), method
        assert not any(record.stored for record in of(small, method))
    for method in ("latentseek+prior", "latentseek+both", "shuffled-prior"):
        assert all(record.prior for record in of(small, method)), method
    assert not any(record.neighbours for record in of(small, "latentseek+prior"))
    with LatentMemory(small.folder / "prepared" / "memory.sqlite3", mode="read") as memory:
        assert memory.stats().traces == small.prepared["traces"] > 20


def test_shuffles_leave_no_trace_where_it_was(small):
    folder = small.folder / "prepared"
    names = ("memory", "shuffled", "misled")
    found = {}
    for name in names:
        with LatentMemory(folder / f"{name}.sqlite3", mode="read") as memory:
            (info,) = memory.shelves()
            found[name] = [stored.trace for stored in memory.stream(info.shelf)]
    for true, shuffled, misled in zip(*found.values(), strict=True):
        assert (shuffled.embedding != true.embedding).any()
        # Packed anew: the last bit may differ.
        np.testing.assert_allclose(shuffled.optimised, true.optimised, rtol=1e-5, atol=1e-6)
        assert (misled.embedding == true.embedding).all()
        assert (misled.optimised != true.optimised[: len(misled.optimised)]).any()


def test_a_stream_begins_empty_and_fills(small):
    rows = of(small, "latentseek+stream")
    assert not rows[0].neighbours
    assert any(row.neighbours for row in rows[1:])
    assert any(row.stored for row in rows)


def test_the_summary_counts_what_the_records_hold(small):
    found = small.summary["groups"]["all"]["latentseek"]
    rows = of(small, "latentseek")
    assert found["accuracy"]["mean"] == pytest.approx(sum(r.right for r in rows) / len(rows))
    greedy = {r.item: r.right for r in of(small, "greedy")}
    assert found["kept"][1] + found["fixed"][1] == 7
    assert found["fixed"][0] == sum(r.right and not greedy[r.item] for r in rows)
    assert "planted" in small.summary["groups"]
    for points in small.summary["curves"].values():
        assert [cost for cost, _ in points] == sorted(cost for cost, _ in points)


class Page(HTMLParser):
    """Holds on to open tags, and to where pictures come from."""

    def __init__(self):
        super().__init__()
        self.open, self.pictures, self.cells = [], [], 0

    def handle_starttag(self, tag, attrs):
        attrs = [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
        self.cells += tag == "td"
        assert tag not in ("script", "link", "iframe")
        assert all(value.startswith("data:") for name, value in attrs if name in ("src", "href"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_stands_by_itself(small):
    page = Page()
    page.feed((small.folder / "report.html").read_text("utf-8"))
    assert page.open == []
    assert page.cells > 100
    assert len(page.pictures) >= 5
    for picture in page.pictures:
        kind, _, coded = picture.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(coded).startswith(b"\x89PNG")
    text = (small.folder / "report.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| latentseek+both |")]
    assert len(rows) >= 3
    assert all(line.endswith("|") for line in rows)
    for line in text.splitlines():
        if line.startswith("!["):
            assert (small.folder / line.partition("(")[2].rstrip(")")).is_file()
    assert json.loads((small.folder / "summary.json").read_text("utf-8"))["questions"] == 7
    versions = json.loads((small.folder / "settings.json").read_text("utf-8"))["versions"]
    assert versions["torch"]


def test_every_method_has_its_line(small):
    own = "latentseek:rest=anew:step=margin"
    summary = deepcopy(small.summary)
    for part in ("curves", "curves_planted", "stream", "rewards"):
        summary[part][own] = summary[part]["latentseek"]
    summary["groups"]["all"][own] = summary["groups"]["all"]["latentseek"]
    lines = {
        name: {line.get_label() for line in figure.axes[0].get_lines()}
        for name, figure in line_figures(summary).items()
    }
    methods = {str(spec) for spec in parse_methods(SMALL.methods)} | {own}
    assert lines["accuracy"] == lines["accuracy-planted"] == methods
    assert lines["stream"] == {name for name in methods if name.startswith("latentseek")}
    assert own in lines["rewards"] <= methods
    assert all(picture.startswith(b"\x89PNG") for picture in draw_all(summary).values())


def test_a_folder_keeps_to_one_evaluation(small):
    before = (small.folder / "records.jsonl").read_bytes()
    again, _ = run(SMALL, small.folder)
    assert [r.key for r in again.records] == [r.key for r in small.records]
    assert (small.folder / "records.jsonl").read_bytes() == before  # nothing is done twice
    with pytest.raises(EvaluationError, match=r"must keep to one evaluation, but .* sampling"):
        run(replace(SMALL, sampling=0.7), small.folder)


def cleared(records: list[Record]) -> list[dict]:
    """All that an unbroken run and a resumed one must share: everything but the clock."""
    return [{**asdict(record), "seconds": 0} for record in records]


def test_a_torn_run_goes_on_to_the_same_records(small, tmp_path):
    folder = tmp_path / "torn"
    shutil.copytree(small.folder, folder)
    lines = (folder / "records.jsonl").read_bytes().splitlines(keepends=True)
    kept = b"".join(lines[:-9])
    (folder / "records.jsonl").write_bytes(kept + lines[-9][:40])  # as a kill leaves it
    run(SMALL, folder)
    assert (folder / "records.jsonl").read_bytes().startswith(kept)
    resumed, whole = (read_records(at / "records.jsonl") for at in (folder, small.folder))
    assert cleared(resumed) == cleared(whole)


def start(folder: Path) -> subprocess.Popen:
    program = "from latent_agent.cli import main; main()"
    paths = [str(Path(__file__).parents[2] / name) for name in ("", "memory", "migrations")]
    return subprocess.Popen(
        [sys.executable, "-c", program, *COMMAND, "--out", str(folder), "--json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_with_the_same_bench(tmp_path):
    """What told the answers under way to stop is not held against the next."""
    made = experiment(replace(SMALL, methods="greedy,best-of-n", train=None, at_once=4))

    def stop(*_):
        raise KeyboardInterrupt

    told = {"answers": {}, "versions": {}, "methods": []}
    with pytest.raises(KeyboardInterrupt):
        evaluate(made.bench, made.plan, tmp_path, told, Watch(report=stop))
    finished = evaluate(made.bench, made.plan, tmp_path, told, Watch())
    assert len(finished.records) == 14
    assert [record.error for record in finished.records if record.error] == []


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    records = killed / "records.jsonl"
    process = start(killed)
    while not records.is_file() or records.read_bytes().count(b"\n") < 11:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = records.read_bytes()
    assert 11 <= done.count(b"\n") < 35
    records.write_bytes(done[: done.rfind(b"\n") + 1] + done[:40])  # a torn line, as a kill leaves
    assert start(killed).wait() == 0
    assert records.read_bytes().startswith(done[: done.rfind(b"\n") + 1])
    assert start(whole).wait() == 0
    resumed, unbroken = read_records(records), read_records(whole / "records.jsonl")
    assert len(resumed) == 35
    assert cleared(resumed) == cleared(unbroken)
    assert any(record.neighbours for record in unbroken)


def a_trace(number: int) -> Trace:
    random = np.random.default_rng(number)
    latents = random.standard_normal((3, 8)).astype(np.float32)
    return Trace(
        shelf=Shelf(namespace="n", fingerprint="f", reward="r"), query=f"{number}", answer="",
        embedding=random.standard_normal(8).astype(np.float32), base=latents, optimised=latents,
        tokens=(1, 2, 3), score=0.0, rewards=((0.0,),), steps=0, stopped="threshold",
    )  # fmt: skip


def test_a_stream_forgets_what_no_record_vouches_for(tmp_path):
    path, asked = tmp_path / "streams" / "one.sqlite3", a_trace(99)
    live = replayed(path, [])
    stored = [number % 3 != 1 for number in range(50)]
    for number, left in enumerate(stored):
        if left:
            live.recall(asked.embedding, shelf=asked.shelf)
            live.add(a_trace(number))
    before = live.recall(asked.embedding, shelf=asked.shelf)
    live.add(a_trace(50))  # its record was lost in the kill
    live.close()
    with replayed(path, stored) as again:
        after = again.recall(asked.embedding, shelf=asked.shelf)
        assert again.stats().traces == sum(stored)
    seen = [[(n.stored.id, n.stored.trace.query, n.similarity) for n in r] for r in (before, after)]
    assert seen[0] == seen[1]
    assert sorted(file.name for file in path.parent.glob("*before*")) == []


GSM8K = (
    ("Tom has 3 boxes of 12 eggs. How many eggs is that?", "3*12=<<3*12=36>>36\n#### 36"),
    ("A car costs $1,500 and a bike $250. How much are both?", "1500+250=1750\n#### 1,750"),
    ("Ann shares 9 pens among 3 friends. How many each?", "9/3=<<9/3=3>>3\n#### 3"),
)


@pytest.mark.slow
def test_gsm8k_through_a_random_model(tmp_path):
    """Every item is scored and nothing crashes; nobody expects an answer to be right.

    GSM8K names a file in its layout, to take that many lines instead of three.
    """
    path = Path(os.environ.get("GSM8K") or tmp_path / "gsm8k.jsonl")
    if not os.environ.get("GSM8K"):
        lines = [json.dumps({"question": question, "answer": answer}) for question, answer in GSM8K]
        path.write_text("\n".join(lines), "utf-8")
    count = len(path.read_text("utf-8").splitlines())
    asked = EvaluationRequest(
        model=tiny_model(), tokenizer=tiny_tokenizer(), data=str(path), questions=count,
        methods="self-consistency,best-of-n,latentseek,latentseek+psrm,flip,noise",
        settings={"max_tokens": 12, "max_iterations": 2},
    )  # fmt: skip
    finished, told = run(asked, tmp_path / "out")
    assert len(finished.records) == 7 * count
    assert all(record.cost > 0 for record in finished.records)
    if "GSM8K" not in os.environ:
        assert {record.truth for record in finished.records} == {"36", "1750", "3"}
    summary = summarise(finished.records, None)
    assert summary["groups"]["all"]["latentseek"]["failures"] == 0
    assert summary["groups"]["all"]["latentseek"]["accuracy"]["mean"] < 0.1
    write_report(tmp_path / "out", summary, finished.records, told)


@pytest.mark.parametrize("verdict", ["generate", "logits", "probability"])
def test_a_verdict_that_is_set_is_how_the_judge_is_read(verdict):
    made = experiment(EvaluationRequest(questions=2, settings={"verdict": verdict}))
    assert made.bench.reward.id == SelfReward(strict=True, verdict=verdict).id


def test_a_failure_is_wrong_and_stays_in_the_count(tmp_path):
    def fails(question: str, answer: str) -> float:
        raise OSError("no judge")

    def fails_too(question: str, truth: str, answer: str) -> bool:
        raise ValueError("no checker")

    asked = EvaluationRequest(methods="latentseek", questions=2, reward=fails)
    finished, _ = run(asked, tmp_path / "one")
    tried = [record for record in finished.records if record.method == "latentseek"]
    assert all(record.stopped == "reward_error" for record in tried)
    assert all("no judge" in (record.error or "") for record in tried)
    made = experiment(EvaluationRequest(questions=2))
    bench = replace(made.bench, checker=checker_by(fails_too))
    told = written(EvaluationRequest(questions=2), made)
    found = evaluate(bench, made.plan, tmp_path / "two", told, Watch()).records
    assert [(record.right, record.error) for record in found] == [
        (False, "ValueError: no checker")
    ] * 2
    group = summarise(found, None)["groups"]["all"]["greedy"]
    assert (group["failures"], group["answers"], group["accuracy"]["mean"]) == (2, 2, 0.0)


def test_what_a_report_needs_is_asked_for_first(monkeypatch, tmp_path):
    monkeypatch.setattr("latent_agent.evaluation.extras._PACKAGES", ("scipy", "no_such_package"))
    with pytest.raises(EvaluationError, match=r"\['no_such_package'\] cannot be found; run: pip"):
        CliRunner().invoke(
            app, ["evaluate", "--out", str(tmp_path / "none")], catch_exceptions=False
        )
    assert not (tmp_path / "none").exists()


def test_methods_by_name():
    assert [str(spec) for spec in parse_methods("latentseek,greedy")] == ["greedy", "latentseek"]
    found = swept(parse_methods("latentseek"), ["learning_rate=0.01,0.1", "misjudge=0.1"])
    assert [str(spec) for spec in found[2:]] == [
        "latentseek:learning_rate=0.01",
        "latentseek:learning_rate=0.1",
        "latentseek:misjudge=0.1",
    ]
    assert Spec.parse("latentseek:fraction=0.5:samples=2").given == (
        ("fraction", 0.5),
        ("samples", 2),
    )
    made = experiment(EvaluationRequest(questions=1))
    own = Spec.parse("latentseek:fraction=0.5").on(made.bench, 3).settings
    assert (own.fraction, own.prefix_tokens, own.seed) == (0.5, None, 3)
    with pytest.raises(EvaluationError, match=r"a method must be one of greedy, .* got 'magic'"):
        parse_methods("magic")
    with pytest.raises(SettingError, match=r"must be name=value with one of .*, got 'rate=1'"):
        parse_methods("latentseek:rate=1")
    with pytest.raises(EvaluationError, match="need training questions, got none"):
        experiment(EvaluationRequest(methods="latentseek+memory"))


def test_a_setting_is_given_by_set_or_by_its_option():
    assert given_settings(["max_iterations=1"], max_iterations=None) == {"max_iterations": 1}
    assert given_settings(["max_iterations=1"], max_iterations=2) == {"max_iterations": 2}


def test_a_method_can_have_a_judge_of_its_own():
    found = Spec.parse("latentseek:judge=checks:verdict=logits:search=flip")
    assert str(found) == "latentseek:judge=checks:verdict=logits:search=flip"
    made = experiment(EvaluationRequest(questions=1))
    own = found.on(made.bench, 0)
    assert own.settings.search == "flip"
    assert own.reward.id == SelfReward("checks", verdict="logits").id
    assert made.bench.reward.id == SelfReward("checks", strict=True).id
    with pytest.raises(SettingError, match=r"search must be one of gradient, .*, flip, got .luck."):
        parse_methods("latentseek:search=luck")
    other = experiment(EvaluationRequest(questions=1, reward=lambda _q, _a: -0.5))
    with pytest.raises(EvaluationError, match="where the model judges itself, got the reward"):
        Spec.parse("latentseek:judge=checks").on(other.bench, 0)


def test_sweeps_over_numbers_and_words(small):
    figures: Figures = small.summary["groups"]["all"]["latentseek"]
    names = [
        *("greedy", "latentseek", "latentseek:samples=10", "latentseek:samples=2"),
        *("latentseek:judge=strict", "latentseek:judge=checks", "flip:samples=2:temperature=1"),
    ]
    found = swept_settings(dict.fromkeys(names, figures))
    assert [[value for value, _ in found[name]["latentseek"]] for name in found] == [
        ["2", "10"],
        ["strict", "checks"],
    ]
    rows = sweep_rows(found)
    assert [row[:3] for row in rows][:2] == [
        ["samples", "2", "latentseek"],
        ["samples", "10", "latentseek"],
    ]
    assert len(rows) == 4
    assert (draw_settings(found) or b"").startswith(b"\x89PNG")
    assert draw_settings({}) is None


STUDY = (
    "evaluate", "--methods", "latentseek+prior", "--families", "story+units", "--questions", "4",
    "--train-questions", "6", "--max-iterations", "1", "--night-calls", "0",
)  # fmt: skip


@pytest.mark.slow
def test_a_study_runs_the_whole_evaluation_at_each_value(tmp_path):
    command = [*STUDY, "--each", "day=story,story/units", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found["all"]) == [
        "greedy",
        "latentseek+prior @ day=story",
        "latentseek+prior @ day=story/units",
    ]
    folders = [tmp_path / "day=story", tmp_path / "day=story-then-units"]
    records = [(folder / "records.jsonl").read_bytes() for folder in folders]
    days = [json.loads((f / "settings.json").read_text("utf-8")) for f in folders]
    assert [day["answers"]["questions_a_day"] for day in days] == [[6], [6, 6]]
    page = (tmp_path / "study.md").read_text("utf-8")
    assert "| latentseek+prior @ day=story/units |" in page
    assert "## Right by family" in page
    prepared = json.loads((folders[1] / "prepared" / "prepared.json").read_text("utf-8"))
    lived = [row for day in prepared["days"] for row in day["questions"]]
    tokens = sum(row["forwarded"] for row in lived) / 12
    (told,) = (line for line in page.splitlines() if line.startswith("| story/units | 12 | 2 | 0 "))
    assert f" | {tokens:.0f} | " in told
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.output
    assert [(folder / "records.jsonl").read_bytes() for folder in folders] == records
    assert page in again.output


def test_a_look_at_a_study_that_goes_on(tmp_path):
    command = [*STUDY, "--each", "prefix_tokens=3,5", "--out", str(tmp_path), "--json"]
    early = CliRunner().invoke(app, [*command, "--peek"])
    assert isinstance(early.exception, EvaluationError)
    assert "there must be answers to report on" in str(early.exception)
    whole = CliRunner().invoke(app, command)
    assert whole.exit_code == 0, whole.output
    looked = CliRunner().invoke(app, [*command, "--peek"])
    assert looked.exit_code == 0, looked.output
    assert json.loads(looked.stdout) == json.loads(whole.stdout)
    shutil.rmtree(tmp_path / "prefix_tokens=5")  # as if it had not come to that yet
    looked = CliRunner().invoke(app, [*command, "--peek"])
    assert looked.exit_code == 0, looked.output
    assert "passed over: there must be answers" in looked.stderr
    known = [name for name in json.loads(whole.stdout)["all"] if name.endswith("=3")]
    assert list(json.loads(looked.stdout)["all"]) == known
    assert "# Study: prefix_tokens at 3\n" in (tmp_path / "study.md").read_text("utf-8")


@pytest.mark.parametrize("each", ["seed=1,2,3", "seeds=1,2,3"])
@pytest.mark.parametrize("peek", [[], ["--peek"]])
def test_a_study_of_seeds_is_refused_with_what_to_give_instead(tmp_path, each, peek):
    result = CliRunner().invoke(app, [*STUDY, "--each", each, "--out", str(tmp_path), *peek])
    assert isinstance(result.exception, EvaluationError)
    assert f"must not vary the seed, got '{each}'" in str(result.exception)
    assert "give --seeds 3 instead" in str(result.exception)


def test_what_a_study_varies():
    asked = EvaluationRequest(train="bundled:train", train_questions=10)
    names = [one.days for _, one in Study.parse("day=all,story/units+money").variants(asked)]
    assert names == [("all",), ("story", "units+money")]
    short = dict(Study.parse("period=4,10").variants(asked))
    days = {value: experiment(replace(one, methods="latentseek+prior")).plan.days
            for value, one in short.items()}  # fmt: skip
    assert {value: [len(day) for day in found] for value, found in days.items()} == {
        "4": [4, 4, 2],
        "10": [10],
    }
    (longer,) = Study.parse("prefix_tokens=15").variants(asked)
    assert longer[1].settings == {"prefix_tokens": 15}
    for wrong in ("luck=1", "period=", "period=0"):
        with pytest.raises(EvaluationError, match=r"a study must be written|period must be"):
            list(Study.parse(wrong).variants(asked))


def test_each_seed_has_an_order_of_its_own():
    plan = experiment(EvaluationRequest(questions=14, seeds=2)).plan
    orders = [[item.key for item in plan.order(seed)] for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(list(plan.steps())) == plan.total == 28


def test_days_hold_different_questions():
    asked = EvaluationRequest(
        train="bundled:train", train_questions=6, days=("story+units", "all", "story")
    )
    days = experiment(asked).plan.days
    assert [len(day) for day in days] == [6, 6, 6]
    assert len({item.key for day in days for item in day}) == 18
    assert {item.family for item in days[0]} == {"story", "units"}
    assert {item.family for item in days[2]} == {"story"}


def test_a_look_at_a_run_that_goes_on(small, tmp_path):
    with pytest.raises(EvaluationError, match="there must be answers to report on"):
        peek(tmp_path)
    lines = (small.folder / "records.jsonl").read_bytes().splitlines(keepends=True)
    methods = len({record.method for record in small.records})
    (tmp_path / "records.jsonl").write_bytes(b"".join(lines[: 2 * methods + 3]))
    (tmp_path / "settings.json").write_bytes((small.folder / "settings.json").read_bytes())
    finished, _ = peek(tmp_path)
    assert len(finished.records) == 2 * methods  # only what all methods have answered


@pytest.fixture
def harness(monkeypatch):
    """The adapter over the harness's documented interface: it is no dependency of the tests."""

    class LM:
        def __init__(self):
            self.cache_hook = None

    for name in ("lm_eval", "lm_eval.api", "lm_eval.api.model", "lm_eval.api.registry"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["lm_eval.api.model"], "LM", LM, raising=False)
    registry = sys.modules["lm_eval.api.registry"]
    monkeypatch.setattr(registry, "register_model", lambda _: lambda cls: cls, raising=False)
    monkeypatch.delitem(sys.modules, "latent_agent.evaluation.harness", raising=False)
    from latent_agent.evaluation import harness

    yield harness
    sys.modules.pop("latent_agent.evaluation.harness", None)


def test_lm_eval_drives_the_chat_model(harness):
    question = "At first Tom has 20 coins. Then Tom buys 4 coins. How many coins does Tom have now?"
    model = harness.HarnessModel.create_from_arg_string(
        "model=bundled,max_iterations=0", {"batch_size": 1, "device": "cuda"}
    )
    packed = model.apply_chat_template([{"role": "user", "content": question}])
    given = {"until": ["The answer"], "max_gen_toks": 40, "do_sample": False, "temperature": 0.0}
    asked = [SimpleNamespace(args=(text, given)) for text in (question, packed)]
    plain = ChatLatentSeek(model="bundled", memory=None, max_iterations=0)
    expected = plain.invoke(question, stop=["The answer"], max_tokens=40).text
    assert model.generate_until(asked, disable_tqdm=True) == [expected] * 2
    assert model.tokenizer_name == "bundled"
    with pytest.raises(EvaluationError, match="a task must ask for generation"):
        model.loglikelihood([])

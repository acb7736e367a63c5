"""``python -m dev.bench call`` on a tiny shape: what is counted, and who agrees with whom."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from dev.bench.__main__ import app
from dev.bench.compare import figures
from dev.bench.floor import Floor
from dev.bench.parts import PARTS
from dev.bench.pictures import draw_sweep
from dev.bench.plan import Bench, Plan
from dev.bench.record import record
from dev.bench.shapes import SHAPES, shaped_config, shaped_model, word_tokenizer
from dev.bench.sweep import attention_share, exponent, straight, sweep
from dev.bench.workers import Run
from latent_agent.errors import SettingError

PLAN = Plan(shape="tiny", prompt_tokens=12, answer_tokens=20, iterations=3, prefix_tokens=6)
SMALL = ["--shape", "tiny", "--prompt-tokens", "12", "--answer-tokens", "20", "--iterations", "3"]


@pytest.fixture(scope="module")
def bench():
    with Bench(PLAN) as opened:
        yield opened


@pytest.fixture(scope="module")
def records(bench):
    return record(bench)


def run(*arguments):
    result = CliRunner().invoke(app, ["call", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def test_lengths_and_steps_are_forced(records):
    (work,) = records
    assert len(work.prompt) == 12
    assert len(work.answer) == 20
    assert len(set(work.answer)) > 10  # no babbling
    assert work.steps == len(work.prefixes) == len(set(work.prefixes)) == 3
    assert all(len(prefix) == 6 for prefix in work.prefixes)
    assert len(work.judged) == 4
    assert all(judged.longest == 8 for judged in work.judged)


def test_the_judge_reads_each_answer_at_its_own_length(bench, records):
    (work,) = records
    text = bench.tokenizer.decode(list(work.answer))
    assert tuple(bench.tokenizer.encode(text)) == work.answer
    for prompt in work.judged[0].prompts:
        assert work.answer in {prompt[at : at + 20] for at in range(len(prompt))}


def test_ours_forwards_what_the_floor_does_and_not_one_token_more(bench, records):
    ours, floor = (PARTS[name](bench, records)() for name in ("ours", "floor"))
    assert ours.forwarded == floor.forwarded
    assert PARTS["generate"](bench, records)().forwarded == 12 + 20 - 1


def test_the_floor_counts_what_goes_through_the_model(bench, records):
    widths = []
    hook = bench.model.base_model.register_forward_pre_hook(
        lambda _, given, named: widths.append(named["input_ids"].numel()), with_kwargs=True
    )
    try:
        done = PARTS["floor"](bench, records)()
    finally:
        hook.remove()
    (work,) = records
    padding = 0
    for judged in work.judged:
        lengths = [len(prompt) for prompt in judged.prompts]
        padding += max(lengths) * len(lengths) - sum(lengths)
    assert sum(widths) == done.forwarded + padding


def test_the_floor_writes_the_answers_that_ours_wrote(bench, records):
    (work,) = records
    floor = Floor(bench.model, bench.tokenizer)
    floor.pay(work)
    assert tuple(floor.answers[0]) == work.answer
    assert [tuple(answer[:6]) for answer in floor.answers[1:]] == list(work.prefixes)
    judged = [
        tuple(bench.tokenizer.encode(bench.tokenizer.decode(answer))) for answer in floor.answers
    ]
    for answer, asked in zip(judged, work.judged, strict=True):
        assert all(
            answer in set(zip(*[p[n:] for n in range(20)], strict=False)) for p in asked.prompts
        )


def test_reference_and_ours_agree_and_the_reference_pays_for_it(bench, records):
    plain, ours = (PARTS[name](bench, records)() for name in ("reference", "ours"))
    assert plain.answers == ours.answers
    assert plain.forwarded > 10 * ours.forwarded


def test_a_warm_call_is_answered_from_memory(bench, records):
    done = PARTS["warm"](bench, records)()
    # Prompt and opening, the changed prefix with its tail, and one judgement.
    assert done.forwarded < PARTS["ours"](bench, records)().forwarded / 3


@pytest.mark.slow
def test_a_real_model_as_it_comes():
    bench = Bench(Plan(model="bundled", questions=4, answer_tokens=40, recipe="default"))
    records = record(bench)
    ours, floor, plain = (PARTS[name](bench, records)() for name in ("ours", "floor", "reference"))
    assert ours.answers == plain.answers
    assert ours.forwarded == floor.forwarded
    assert any(work.steps for work in records)


@pytest.mark.parametrize(("shape", "parameters"), [("20M", 20e6), ("100M", 100e6), ("0.5B", 0.5e9)])
def test_shapes_have_the_size_of_their_name(shape, parameters):
    with torch.device("meta"):
        config = shaped_config(shape)
        model = AutoModelForCausalLM.from_config(config)
    assert sum(w.numel() for w in model.parameters()) == pytest.approx(parameters, rel=0.1)


def test_a_shape_is_the_same_for_the_same_seed_and_leaves_the_global_one_alone():
    config = shaped_config("tiny", 500)
    state = torch.random.get_rng_state()
    first, again, other = (shaped_model(config, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    name = "model.embed_tokens.weight"
    weights = [model.get_parameter(name) for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert len(word_tokenizer(500)) == 500 == weights[0].shape[0]


def test_seconds_that_grow_as_the_tokens_have_the_exponent_one():
    points = [{"forwarded_tokens": n, "cpu_seconds": 0.01 * n} for n in (64, 500, 2048)]
    assert exponent(points) == pytest.approx(1)
    squared = [{**point, "cpu_seconds": point["forwarded_tokens"] ** 2} for point in points]
    assert exponent(squared) == pytest.approx(2)


def test_a_straight_line_is_told_from_a_bent_one():
    points = [{"forwarded_tokens": n, "cpu_seconds": 2 + 0.01 * n} for n in (64, 500, 2048)]
    line = straight(points)
    assert line["ms_per_token"] == pytest.approx(10)
    assert line["fixed_seconds"] == pytest.approx(2)
    assert line["farthest"] == pytest.approx(0, abs=1e-9)
    assert line["late_over_early"] == pytest.approx(1)
    bent = straight([{**p, "cpu_seconds": p["forwarded_tokens"] ** 2} for p in points])
    assert bent["late_over_early"] == pytest.approx((2048 + 500) / (500 + 64))
    assert bent["farthest"] > 0.05


def test_attention_takes_a_growing_share_and_a_known_one():
    config = shaped_config("20M")
    long = Plan(shape="20M", prompt_tokens=80, answer_tokens=2048)
    attention = 2 * 5 * 384 * (80 + 1024)
    assert attention_share(long, config, 20_000_000) == pytest.approx(
        attention / (attention + 20_000_000)
    )


def test_a_sweep_needs_matplotlib_only_for_its_picture(monkeypatch, tmp_path):
    found = {
        "shape": "tiny",
        **{f"by_{by}": [] for by in ("length", "steps")},
        **{f"line_by_{by}": {} for by in ("length", "steps")},
        **{f"exponent_by_{by}": 1.0 for by in ("length", "steps")},
    }
    monkeypatch.setattr("dev.bench.pictures.can_draw", lambda: False)
    monkeypatch.setattr("dev.bench.sweep.sweep", lambda *_: found)
    picture = tmp_path / "cost.png"
    with pytest.raises(SettingError, match="or add --json"):
        run(*SMALL, "--sweep", str(picture))
    assert json.loads(run(*SMALL, "--sweep", str(picture), "--json")) == found
    assert not picture.exists()


def test_a_sweep_forwards_tokens_in_proportion_to_steps(tmp_path):
    found = sweep(PLAN, lambda *_: None, lengths=(16, 32), steps=(1, 2, 4))
    assert [point["answer_tokens"] for point in found["by_length"]] == [16, 32]
    spent = [point["forwarded_tokens"] for point in found["by_steps"]]
    assert (spent[2] - spent[1]) / (spent[1] - spent[0]) == pytest.approx(2, rel=0.2)
    draw_sweep(found, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").stat().st_size > 10_000


def test_ratios_are_taken_run_by_run():
    def ran(seconds, forwarded, peak):
        return Run(
            seconds=seconds,
            cpu_seconds=seconds / 2,
            forwarded=forwarded,
            peak_bytes=peak,
            answers=("a",),
        )

    slow = [ran(10, 100, 5), ran(30, 100, 6), ran(8, 100, 5)]
    fast = [ran(5, 10, 3), ran(10, 10, 2), ran(8, 10, 2)]
    found = figures({"reference": slow, "ours": fast})
    ratio = found["ratios"]["reference / ours"]
    assert ratio["seconds"] == {"median": 2, "least": 1, "most": 3}
    assert ratio["forwarded_tokens"] == 10
    assert ratio["peak_bytes"] == 2
    assert found["parts"]["reference"]["seconds"]["median"] == 10
    assert found["same_answers"] is True


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_measures_parts_in_processes_of_their_own():
    found = json.loads(run(*SMALL, "--parts", "ours,floor", "--repeats", "2", "--json"))
    assert found["changed"] == found["steps"] == found["iterations"] == 3
    assert found["vocabulary"] == SHAPES["tiny"].vocab_size
    parts = found["parts"]
    assert parts["ours"]["forwarded_tokens"] == parts["floor"]["forwarded_tokens"]
    assert all(part["peak_bytes"] > 50e6 for part in parts.values())
    assert found["ratios"]["ours / floor"]["seconds"]["median"] > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_table_fits_a_narrow_terminal():
    printed = run(*SMALL, "--parts", "reference,ours", "--repeats", "1")
    assert "reference / ours" in printed
    assert "the same answers" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # These two are refused in the process of a part, which imports torch.
        pytest.param(["--shape", "7T"], "--shape must be one of tiny, 20M", marks=pytest.mark.slow),
        pytest.param(
            ["--shape", "tiny", "--vocabulary", "5"],
            "--vocabulary must hold",
            marks=pytest.mark.slow,
        ),
        (["--shape", "tiny", "--model", "bundled"], "give --shape or --model"),
        (["--parts", "ours,theirs"], "got 'theirs'"),
        (["--verdict", "guess"], "--verdict must be"),
        (["--model", "bundled", "--sweep", "a.png"], "--sweep needs forced lengths"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments, message):
    with pytest.raises(SettingError, match=message):
        run(*arguments)

"""llama.cpp as an engine: what transformers gives on the same weights, alone and at once."""

import gc
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch

from latent_agent import ChatLatentSeek
from latent_agent.call.agent import LatentAgent
from latent_agent.errors import BudgetSpent, CallCancelled, ModelError, PromptError
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.engine import AnswerLimits, Engine, Writing
from latent_agent.model.options import LoadOptions
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import open_model
from latent_agent.model.sampling import GREEDY
from latent_agent.reward import SelfReward
from latent_agent.settings import settings_for
from latent_agent.teaching import questions
from tests.support.engines import complete
from tests.support.work import Work, at_once, run_alone, run_together

pytest.importorskip("llama_cpp", reason='needs llama.cpp: pip install "latent-agent[llama-cpp]"')
from latent_agent.model.llama_engine import engine as llama_engine
from latent_agent.model.llama_engine.context import Context
from latent_agent.model.llama_engine.engine import LlamaEngine
from latent_agent.model.llama_engine.library import library

pytestmark = pytest.mark.timeout(300)
AT_ONCE = 6


@pytest.fixture(scope="module")
def engine(bundled_gguf: Path) -> LlamaEngine:
    return opened(bundled_gguf)


def opened(path: Path, **given: Any) -> LlamaEngine:
    found = open_model(path, None, LoadOptions(threads=1, **given)).engine()
    assert isinstance(found, LlamaEngine)
    return found


@pytest.fixture
def small(bundled_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> LlamaEngine:
    """An engine that has room for one window."""
    monkeypatch.setattr(llama_engine, "_KEPT", 0)
    return opened(bundled_gguf, n_ctx=512)


@pytest.fixture(scope="module")
def reference(bundled: Any) -> Engine:
    return bundled.engine()


def asked(engine: Engine, n: int, split: str = "test") -> list[list[int]]:
    encode = engine.tokenizer.encode
    return [encode(one.text) for one in questions(split, n=n, seed=5)]


def write(engine: Engine, rows: list[list[int]], prefix: tuple[int, ...] = ()) -> list[Any]:
    limits = AnswerLimits(max_tokens=24)
    given = [Writing(prompt=row, prefix=prefix, limits=limits) for row in rows]
    return engine.sequence(Budget()).write(given, "refine")


def test_it_says_what_the_file_says(engine: LlamaEngine, reference: Engine) -> None:
    assert (engine.vocabulary, engine.width) == (reference.vocabulary, reference.width)
    assert engine.stop_ids == reference.stop_ids
    assert engine.context_window == reference.context_window
    assert engine.capabilities == frozenset()


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        (1, 3),
        (16, 16),
        (40, 40),
        *(pytest.param(rows, 400, marks=pytest.mark.slow) for rows in (1, 16, 40)),
    ],
)
def test_rows_are_those_of_transformers(
    engine: LlamaEngine, reference: Engine, rows: int, count: int
) -> None:
    prompts = [
        encode_chat(reference.tokenizer, [Turn("user", one.text)])
        for one in questions("test", n=count, seed=5)
    ]
    blocks = [prompts[first : first + rows] for first in range(0, count, rows)]
    pairs = [(write(engine, block), write(reference, block)) for block in blocks]
    answers = [pair for ours, theirs in pairs for pair in zip(ours, theirs, strict=True)]
    assert len(answers) == count
    for ours, theirs in answers:
        assert ours.tokens == theirs.tokens
        assert ours.finish == theirs.finish
        scale = theirs.latents.abs().max().item()
        torch.testing.assert_close(ours.latents, theirs.latents, rtol=0, atol=1e-3 * scale)


def test_logits_and_what_is_pulled_back_are_those_of_transformers(
    engine: LlamaEngine, reference: Engine
) -> None:
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(5, engine.width, generator=draw)
    ours, theirs = engine.logits(latents), reference.logits(latents)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    gradient = torch.randn(theirs.shape, generator=draw)
    pulled = engine.pull_back(latents, gradient.clone())
    torch.testing.assert_close(pulled, reference.pull_back(latents, gradient), rtol=1e-4, atol=1e-4)


def test_what_follows_prompts_is_what_transformers_says(
    engine: LlamaEngine, reference: Engine
) -> None:
    prompts = asked(reference, 7)
    ours, theirs = (
        one.sequence(Budget()).next_logits(prompts, "judge") for one in (engine, reference)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_a_prompt_is_read_once_and_prefixes_go_back_to_it(
    engine: LlamaEngine, reference: Engine
) -> None:
    (prompt,) = asked(reference, 1)
    for one in (engine, reference):
        budget = Budget()
        sequence = one.sequence(budget)
        sequence.embed(prompt, "draft")
        limits = AnswerLimits(max_tokens=9)
        drafted = complete(sequence, prompt, (), limits=limits, sampler=GREEDY, stage="draft")
        written = len(drafted.tokens)
        assert budget.token_counts()["draft"] == len(prompt) + written - 1
        other = (*drafted.tokens[:2], 7)
        again = complete(sequence, prompt, other, limits=limits, sampler=GREEDY, stage="refine")
        assert budget.token_counts()["refine"] == len(again.tokens) - len(other)


def test_calls_at_once_get_what_they_get_alone(engine: LlamaEngine) -> None:
    works = [Work(seed) for seed in range(AT_ONCE)]
    pairs = zip(run_together(engine, works), run_alone(engine, works), strict=True)
    for (found, said, spent), (answers, replies, bill) in pairs:
        assert [answer.tokens for answer in found] == [answer.tokens for answer in answers]
        assert said == replies
        assert spent == bill


def test_a_draft_whose_latents_have_not_moved_is_given_back(engine: LlamaEngine) -> None:
    for answer in write(engine, asked(engine, 20)):
        known = dict(enumerate(answer.tokens))
        assert engine.decode(answer.latents, GREEDY, known) == answer.tokens
        assert engine.decode(answer.latents, GREEDY) == answer.tokens  # in float32 by itself too


# ------------------------------------------------------------------------ room


def test_sequences_that_are_put_aside_are_read_again(small: LlamaEngine, reference: Engine) -> None:
    """Three prompts do not fit at once, so each turn has to make room."""
    prompts = [(row * 20)[:300] for row in asked(reference, 3)]
    limits = AnswerLimits(max_tokens=20)
    kept = [one.sequence(Budget()) for one in (small, small, small)]
    theirs = [write(reference, [row])[0].tokens[:20] for row in prompts]
    for _ in range(2):
        for sequence, prompt, wanted in zip(kept, prompts, theirs, strict=True):
            made = complete(sequence, prompt, (), limits=limits, sampler=GREEDY, stage="draft")
            assert made.tokens[: len(wanted)] == wanted[: len(made.tokens)]


def test_calls_that_do_not_fit_together_take_turns(small: LlamaEngine, reference: Engine) -> None:
    prompts = [(row * 20)[:350] for row in asked(reference, 5)]
    wanted = [write(reference, [row])[0].tokens for row in prompts]
    futures = at_once([lambda row=row: write(small, [row])[0].tokens for row in prompts])
    assert [future.result() for future in futures] == wanted


def test_more_rows_than_fit_are_written_in_parts(small: LlamaEngine, reference: Engine) -> None:
    prompts = asked(reference, 30)
    ours, theirs = write(small, prompts), write(reference, prompts)
    assert [one.tokens for one in ours] == [one.tokens for one in theirs]


@pytest.fixture
def taken(small: LlamaEngine) -> Generator[None]:
    """All room is promised to somebody."""
    with small.cells.claimed(small.sequence(Budget()), small.cells.total, 0, lambda: None):
        yield


@pytest.mark.usefixtures("taken")
def test_who_waits_for_room_is_not_held_after_the_answer_is_not_wanted(small: LlamaEngine) -> None:
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    with pytest.raises(CallCancelled):
        small.sequence(Budget(cancelled=cancelled)).embed([5, 6, 7], "draft")
    with pytest.raises(BudgetSpent):
        small.sequence(Budget(timeout=0.2)).embed([5, 6, 7], "draft")


def test_dropped_sequences_leave_their_room(small: LlamaEngine, reference: Engine) -> None:
    for prompt in asked(reference, 80):  # more than there are numbers
        write(small, [prompt])
    assert len(small.cells._free) + len(small.cells._left) == small.cells.sequences


@pytest.mark.usefixtures("taken")
def test_a_call_that_gets_no_room_in_time_says_so(small: LlamaEngine) -> None:
    row = Writing(prompt=[5, 6], limits=AnswerLimits(max_tokens=4))
    (ended,) = small.sequence(Budget(timeout=0.1)).write([row], "draft")
    assert (ended.tokens, ended.finish) == ((), "time")


def test_a_place_is_given_back_once_although_its_holder_goes_while_it_is_cleared(
    small: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner is dropped while another thread waits for the model to put it aside."""
    kept = [small.sequence(Budget())]
    limits = AnswerLimits(max_tokens=2)
    kept[0].write([Writing(prompt=list(range(5, 400)), limits=limits)], "draft")
    cut = Context.cut

    def meanwhile(self: Context, sequence: int, length: int) -> None:
        kept.clear()
        cut(self, sequence, length)

    monkeypatch.setattr(Context, "cut", meanwhile)
    write(small, [list(range(5, 400))])
    monkeypatch.setattr(Context, "cut", cut)
    write(small, [[5, 6, 7]])
    free = list(small.cells._free)
    assert len(free) == len(set(free))


def test_who_was_put_aside_while_it_waited_takes_a_new_place(
    small: LlamaEngine, reference: Engine
) -> None:
    prompts = [(row * 20)[:300] for row in asked(reference, 4)]
    wanted = [write(reference, [row])[0].tokens for row in prompts]
    sequences = [small.sequence(Budget()) for _ in prompts]

    def often(number: int) -> list[tuple[int, ...]]:
        limits = AnswerLimits(max_tokens=24)
        row = Writing(prompt=prompts[number], limits=limits)
        return [sequences[number].write([row, row], "refine")[0].tokens for _ in range(3)]

    for number, future in enumerate(at_once([lambda n=n: often(n) for n in range(4)])):
        assert future.result() == [wanted[number]] * 3


def test_an_interrupt_in_a_pass_leaves_what_was_there(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (prompt,) = asked(engine, 1)
    wanted = write(engine, [prompt])[0].tokens
    sequence = engine.sequence(Budget())
    rows, met = Context._rows, []

    def once(self: Context, *given: Any) -> Any:
        if len(met) < 3:
            met.append(given)
        if len(met) == 3:
            met.append(given)
            raise KeyboardInterrupt
        return rows(self, *given)

    monkeypatch.setattr(Context, "_rows", once)
    row = Writing(prompt=prompt, limits=AnswerLimits(max_tokens=24))
    with pytest.raises(KeyboardInterrupt):
        sequence.write([row], "draft")
    assert sequence.write([row], "draft")[0].tokens == wanted


@pytest.mark.slow
@pytest.mark.parametrize("calls", [16, 40])
def test_whole_searches_at_once_are_those_of_transformers_alone(
    bundled_gguf: Path, bundled: Any, calls: int
) -> None:
    settings = settings_for("default", max_iterations=4, max_tokens=40)
    asked_for = [[Turn("user", one.text)] for one in questions("test", n=calls, seed=8)]
    reward = SelfReward(strict=True)
    theirs = [LatentAgent(bundled, settings, reward).answer(turns) for turns in asked_for]
    ours = LatentAgent(open_model(bundled_gguf, None, LoadOptions(threads=1)), settings, reward)
    for future, wanted in zip(
        at_once([lambda turns=turns: ours.answer(turns) for turns in asked_for]),
        theirs,
        strict=True,
    ):
        found = future.result()
        assert (found.text, found.rewards) == (wanted.text, wanted.rewards)
        assert (found.iterations, found.source) == (wanted.iterations, wanted.source)
    assert sum(one.iterations > 0 for one in theirs) >= calls / 8


def test_a_pass_that_llama_cpp_refuses_is_an_error_and_the_engine_goes_on(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (prompt,) = asked(engine, 1)
    wanted = write(engine, [prompt])[0].tokens
    decode, refused = Context._decode, []

    def once(self: Context, tokens: Any) -> None:
        if len(tokens) == 1 and not refused:
            refused.append(tokens)
            raise ModelError("no room")
        decode(self, tokens)

    monkeypatch.setattr(Context, "_decode", once)
    with pytest.raises(ModelError, match="no room"):
        write(engine, [prompt])
    assert write(engine, [prompt])[0].tokens == wanted


# ------------------------------------------------------------------------ bad input


def test_a_prompt_that_n_ctx_leaves_no_room_for(bundled_gguf: Path) -> None:
    chat = ChatLatentSeek(model=bundled_gguf, n_ctx=8, memory=None)
    with pytest.raises(PromptError, match=r"context window of 8 tokens, got a\s+prompt of"):
        chat.invoke("How many legs has a spider that lost two of them in a fight?")


def test_without_llama_cpp_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("llama_cpp", "llama_cpp.llama_cpp"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError, match=r'pip install "latent-agent\[llama-cpp\]"'):
        library.__wrapped__()


def test_what_llama_cpp_cannot_load_is_an_error(
    bundled_gguf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file passes our checks, and is damaged where only llama.cpp looks."""
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(
        bundled_gguf.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_Q.weight")
    )
    with pytest.raises(ModelError, match=r"llama.cpp must be able to load .*; update it"):
        opened(damaged)


def test_an_engine_that_nobody_holds_is_freed(bundled_gguf: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied.gguf"
    copied.write_bytes(bundled_gguf.read_bytes())
    chat = ChatLatentSeek(model=copied, memory=None, threads=1, max_tokens=4)
    chat.invoke("Hello")
    engine = chat._shared_model().engine()
    assert isinstance(engine, LlamaEngine)
    context = engine.context
    del engine
    assert context._context
    chat.close()
    gc.collect()
    assert not context._context


def test_one_quantisation_never_recalls_anothers_latents(
    bundled_gguf: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(bundled_gguf.read_bytes() + b"\0")
    ours, theirs = open_model(bundled_gguf), open_model(other)
    assert len({ours.fingerprint(), theirs.fingerprint(), open_model("bundled").fingerprint()}) == 3

"""The prior: untrained it changes nothing, it learns what flips tokens, it is read whole or not."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from latent_agent.errors import PriorError
from latent_agent.nights.dataset import NO_TOKEN, PARTS, Part, batches, part_of, shuffled, survey
from latent_agent.nights.training import FitSettings, fit, shortlist
from latent_agent.recall.prior_checkpoint import PriorCard, load_prior, save_prior
from latent_agent.recall.prior_network import LatentPrior, PriorShape
from latent_memory import Shelf, StoredTrace, Trace
from latent_memory.sqlite import Folder

SHAPE = PriorShape(positions=3, width=8, embedding=6, hidden=16)
SHELF = Shelf(namespace="a", fingerprint="f", reward="r")
VOCABULARY = 40


class Head:
    """A linear head over a small vocabulary."""

    def __init__(self, vocabulary: int = VOCABULARY, width: int = 8) -> None:
        self.vocabulary = vocabulary
        self.weight = torch.randn(vocabulary, width, generator=torch.Generator().manual_seed(1))

    def logits(self, latents: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        return functional.linear(latents, self.weight if tokens is None else self.weight[tokens])


def trace(id: int, *, score: float = 0.0, rows: int = 3, **given: Any) -> StoredTrace:
    """A trace whose question has one of two kinds; the kind decides the winning tokens."""
    rng = np.random.default_rng(id)
    kind = id % 2
    embedding = rng.normal(5.0, 0.3, 6).astype(np.float32)
    embedding[0] += 3.0 * kind
    base = rng.normal(0.0, 0.5, (rows, 8)).astype(np.float32)
    fields: dict[str, Any] = {
        "shelf": SHELF, "query": f"question {id}", "answer": "a", "embedding": embedding,
        "base": base, "optimised": base + 0.1, "tokens": tuple([3 + kind, 7, 11 - kind][:rows]),
        "score": score, "rewards": (score,), "steps": 1, "stopped": "threshold", **given,
    }  # fmt: skip
    return StoredTrace(id=id, created=datetime.now(UTC), trace=Trace(**fields))


def stream(traces: list[StoredTrace]):
    def read() -> Iterator[StoredTrace]:
        return iter(traces)

    return read


DAY = [trace(id) for id in range(1, 161)]
TRAINED = sum(part_of(stored) == "train" for stored in DAY)


def new_prior(traces: list[StoredTrace] = DAY, seed: int = 0) -> LatentPrior:
    surveyed = survey(stream(traces), VOCABULARY)
    prior = LatentPrior(surveyed.shape(hidden=32), seed)
    prior.centre.copy_(torch.from_numpy(surveyed.centre))
    return prior


def first_tokens(prior: LatentPrior, stored: StoredTrace) -> list[int]:
    guess = prior(torch.from_numpy(stored.trace.embedding), torch.from_numpy(stored.trace.base))
    return Head().logits(guess).argmax(-1).tolist()


# ------------------------------------------------------------------------------- network


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 6), batch=st.integers(0, 3), seed=st.integers(0, 9))
def test_untrained_it_changes_nothing(rows: int, batch: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch,) if batch else ()
    base = torch.randn(*shape, rows, 8, generator=generator)
    embedding = torch.randn(*shape, 6, generator=generator)
    assert torch.equal(LatentPrior(SHAPE, seed)(embedding, base), base)


def test_positions_beyond_its_own_stay_as_they_are() -> None:
    prior = LatentPrior(SHAPE)
    torch.nn.init.normal_(prior.out.weight, generator=torch.Generator().manual_seed(0))
    base = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    moved = prior(torch.ones(6), base)
    assert torch.equal(moved[3:], base[3:])
    assert not torch.isclose(moved[:3], base[:3]).all(-1).any()


def test_the_global_random_stream_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    fit(new_prior(), stream(DAY), Head(), FitSettings(epochs=1), TRAINED)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_default_size_stays_a_few_million() -> None:
    prior = LatentPrior(PriorShape(positions=20, width=896, embedding=896))
    assert sum(weight.numel() for weight in prior.parameters()) < 3_000_000


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3", 2**40])
def test_a_size_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(PriorError, match=r"hidden must be a whole number from 1"):
        PriorShape(positions=1, width=1, embedding=1, hidden=wrong)


# ------------------------------------------------------------------------------ training


def test_it_learns_what_flips_the_tokens_of_questions_it_never_saw() -> None:
    prior, later = new_prior(), [trace(id) for id in range(1001, 1041)]
    report = fit(prior, stream(DAY), Head(), FitSettings(learning_rate=3e-3), TRAINED)
    assert report.improved
    hits = [first_tokens(prior, stored) == list(stored.trace.tokens) for stored in later]
    assert sum(hits) >= 38
    untrained = new_prior()
    assert sum(first_tokens(untrained, s) == list(s.trace.tokens) for s in later) <= 2


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    def trained(seed: int) -> torch.Tensor:
        prior = new_prior(seed=seed)
        fit(prior, stream(DAY), Head(), FitSettings(epochs=3, seed=seed), TRAINED)
        return prior.out.weight.detach()

    assert torch.equal(trained(0), trained(0))
    assert not torch.equal(trained(0), trained(1))


def test_it_is_left_with_the_best_weights_not_the_last() -> None:
    prior = new_prior()
    wild = FitSettings(epochs=12, learning_rate=0.3, patience=4)
    report = fit(prior, stream(DAY), Head(), wild, TRAINED)
    again = fit(prior, stream(DAY), Head(), replace(wild, epochs=1, learning_rate=0.0), TRAINED)
    assert again.start == pytest.approx(report.best)
    assert report.best == min([report.start, *report.losses])


def test_a_reward_of_minus_one_teaches_nothing() -> None:
    wrong = [trace(id, score=-1.0, tokens=(1, 1, 1)) for id in range(201, 321)]
    with_wrong, without = new_prior(), new_prior()
    fit(with_wrong, stream([*DAY, *wrong]), Head(), FitSettings(epochs=2), TRAINED)
    fit(without, stream(DAY), Head(), FitSettings(epochs=2), TRAINED)
    assert torch.equal(with_wrong.out.weight, without.out.weight)


def test_what_was_learnt_before_stays_when_training_goes_on() -> None:
    prior = new_prior()
    fit(prior, stream(DAY), Head(), FitSettings(learning_rate=3e-3), TRAINED)
    more = [*DAY, *(trace(id) for id in range(2000, 2060))]
    report = fit(prior, stream(more), Head(), FitSettings(epochs=5), TRAINED)
    assert report.start < 1.0  # goes on from what it knew
    assert report.best <= report.start


def test_training_without_traces_for_validation_is_refused() -> None:
    rest = [stored for stored in DAY if part_of(stored) != "validation"]
    with pytest.raises(PriorError, match="needs traces for validation"):
        fit(new_prior(), stream(rest), Head(), FitSettings(epochs=1), TRAINED)


def test_what_tick_raises_ends_the_training() -> None:
    def tick(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(new_prior(), stream(DAY), Head(), FitSettings(), TRAINED, tick)


def test_a_large_vocabulary_is_cut_to_a_shortlist_that_holds_every_winner() -> None:
    head, small = Head(9000), FitSettings(probes=4, negatives=16)
    winners = torch.tensor([8999, 0, 17, 17])
    latents = torch.randn(4, 8, generator=torch.Generator().manual_seed(3))
    tokens = shortlist(head, latents, winners, small, torch.Generator().manual_seed(0))
    assert tokens is not None
    assert set(winners.tolist()) <= set(tokens.tolist())
    assert set(head.logits(latents).argmax(-1).tolist()) <= set(tokens.tolist())
    assert len(tokens) < 100
    assert tokens.tolist() == sorted(set(tokens.tolist()))
    assert shortlist(Head(), latents, winners % 40, small, torch.Generator()) is None


def test_with_a_shortlist_it_learns_as_well() -> None:
    prior = new_prior()
    settings = FitSettings(learning_rate=3e-3, whole_vocabulary=8, negatives=8, probes=4)
    fit(prior, stream(DAY), Head(), settings, TRAINED)
    later = [trace(id) for id in range(1001, 1041)]
    assert sum(first_tokens(prior, s) == list(s.trace.tokens) for s in later) >= 36


# ------------------------------------------------------------------------------- lessons


def test_traces_of_no_use_are_skipped_and_counted() -> None:
    bad = trace(500).trace
    broken = [
        replace(trace(501), trace=replace(bad, base=bad.base * np.nan)),
        replace(trace(502), trace=replace(bad, optimised=bad.optimised * np.inf)),
        replace(trace(503), trace=replace(bad, embedding=bad.embedding * np.nan)),
        replace(trace(504), trace=replace(bad, tokens=())),
        replace(trace(505), trace=replace(bad, tokens=(1, VOCABULARY))),
        replace(trace(506), trace=replace(bad, tokens=(-1,))),
    ]
    surveyed = survey(stream([*DAY, *broken]), VOCABULARY)
    assert (surveyed.skipped, surveyed.trained + surveyed.held_out) == (6, len(DAY))
    assert np.isfinite(surveyed.centre).all()
    with_broken, without = new_prior(), new_prior()
    fit(with_broken, stream([*DAY, *broken]), Head(), FitSettings(epochs=1), TRAINED)
    fit(without, stream(DAY), Head(), FitSettings(epochs=1), TRAINED)
    assert torch.equal(with_broken.out.weight, without.out.weight)


def test_what_a_trace_is_for_hangs_on_the_question_alone() -> None:
    for id in range(1, 30):
        assert part_of(trace(id)) == part_of(replace(trace(id), id=99))
    parts = [part_of(trace(id)) for id in range(1, 2001)]
    assert 0.17 < parts.count("gate") / 2000 < 0.23
    assert 0.07 < parts.count("validation") / 2000 < 0.13
    silent = [replace(trace(id), trace=replace(trace(id).trace, query=None)) for id in range(400)]
    parts = [part_of(stored) for stored in silent]
    assert 0.13 < parts.count("gate") / 400 < 0.27
    assert 0.05 < parts.count("validation") / 400 < 0.15


@pytest.mark.parametrize("part", PARTS)
def test_a_batch_is_of_one_part(part: Part) -> None:
    rows = list(batches(stream(DAY), SHAPE, 7, vocabulary=VOCABULARY, part=part, rng=Random(0)))
    seen = torch.cat([batch.embedding for batch in rows])
    kept = [stored.trace.embedding for stored in DAY if part_of(stored) == part]
    assert len(seen) == len(kept)
    assert {tuple(row.tolist()) for row in seen} == {tuple(row.tolist()) for row in kept}


def test_shorter_and_longer_traces_are_padded_and_cut() -> None:
    traces = [trace(1, rows=2), trace(2, rows=5, tokens=(1, 2, 3, 4, 5)), trace(3, tokens=(9,))]
    rows = [
        batch
        for part in PARTS
        for batch in batches(stream(traces), SHAPE, 3, vocabulary=VOCABULARY, part=part)
    ]
    tokens = sorted(row for batch in rows for row in batch.tokens.tolist())
    assert tokens == sorted([[4, 7, NO_TOKEN], [1, 2, 3], [9, NO_TOKEN, NO_TOKEN]])
    present = sorted(row for batch in rows for row in batch.present.tolist())
    assert present == sorted([[True, True, False], [True] * 3, [True] * 3])


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 5))
def test_shuffling_loses_and_doubles_nothing(count: int, size: int, seed: int) -> None:
    given_order = list(range(count))
    order = list(shuffled(given_order, size, Random(seed)))
    assert sorted(order) == given_order


# --------------------------------------------------------------------------------- files


def card(**given: Any) -> PriorCard:
    fields: dict[str, Any] = {
        "version": "3", "namespace": "a", "fingerprint": "f", "reward": "r",
        "first_trace": 1, "last_trace": 160, "shape": SHAPE, **given,
    }  # fmt: skip
    return PriorCard(**fields)


def test_a_prior_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    prior = LatentPrior(SHAPE, seed=4)
    signed = save_prior(prior, card(), Folder(tmp_path / "deep"), "3.safetensors")
    loaded, card_read = load_prior(Folder(tmp_path / "deep"), "3.safetensors")
    assert card_read == signed
    for name, weight in prior.weights().items():
        assert torch.equal(loaded.weights()[name], weight)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["3.safetensors"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97])
def test_a_torn_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "3.safetensors"
    save_prior(LatentPrior(SHAPE), card(), Folder(path.parent), path.name)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(PriorError, match="must be whole"):
        load_prior(Folder(path.parent), path.name)


def test_any_changed_byte_of_the_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "3.safetensors"
    save_prior(LatentPrior(SHAPE), card(), Folder(path.parent), path.name)
    whole = path.read_bytes()
    for place in (len(whole) - 1, len(whole) - 700, len(whole) // 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(PriorError, match="checksum does not hold"):
            load_prior(Folder(path.parent), path.name)


def test_what_is_no_prior_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.ones(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no prior")
    for name in ("other.safetensors", "text.safetensors", "missing.safetensors"):
        with pytest.raises(PriorError, match=name):
            load_prior(Folder(tmp_path), name)

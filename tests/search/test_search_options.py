"""Other ways to search: what is updated, how far a step goes, what is turned, what is kept."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from latent_agent.call.agent import LatentAgent, default_reward
from latent_agent.call.call import Call
from latent_agent.errors import SettingError
from latent_agent.model.conversation import Turn
from latent_agent.model.logits_mask import FREE
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import open_model
from latent_agent.model.sampling import GREEDY
from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.recall.memory_adapter import TraceMemory
from latent_agent.reward import Score, SelfReward
from latent_agent.reward.rebuild import reward_from_id
from latent_agent.search.boundary_step import edge, to_the_edge
from latent_agent.search.policy_gradient import advantages, policy_gradient
from latent_agent.search.position_selection import updated
from latent_agent.search.prefix import until_change
from latent_agent.search.refine import Search
from latent_agent.search.token_flip import flips, turned
from latent_agent.search.types import SearchRecord, Start, Trial
from latent_agent.settings import Settings, settings_for
from latent_agent.teaching import questions
from latent_agent.teaching.families import PLANTED
from latent_memory import LatentMemory
from tests.support.tiny import tiny_model, tiny_tokenizer

QUESTIONS = questions("validation", n=14, seed=3)


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def space(request) -> TransformersEngine:
    """An affine head, and one that a soft cap bends; no token stops an answer."""
    engine = TransformersEngine(tiny_model(request.param), tiny_tokenizer())
    engine.stop_ids = frozenset()
    return engine


def latents(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, 32, generator=torch.Generator().manual_seed(seed))


def trial(prefix, value=-1.0, length=0, vetoed=False) -> Trial:
    return Trial(
        prefix=tuple(prefix), tokens=(0,) * length, text="", finish="stop",
        score=Score(value=value, vetoed=vetoed),
    )  # fmt: skip


def searched(
    space: TransformersEngine, z: torch.Tensor, **given
) -> list[tuple[tuple[int, ...], SearchRecord]]:
    """Every prefix that a search tries from ``z`` where each answer is refused."""
    tried = []
    tokens = space.decode(z, GREEDY)
    start = Start(trial=replace(trial(tokens), tokens=tokens), latents=z)

    def attempt(row):
        tried.append(row.prefix)
        return trial(row.prefix)

    call: Any = SimpleNamespace(
        engine=space,
        constraint=FREE,
        attempt=attempt,
        attempts=lambda rows: map(attempt, rows),
        decode=space.decode,
    )
    with Search(call, Settings(max_iterations=6, **given)) as search:
        search.start_from([[start]])
        search.refine()
    return [(prefix, search.record) for prefix in [start.trial.prefix, *tried]]


# ------------------------------------------------------------------------------- the baseline


def test_leave_one_out_holds_each_reward_against_the_others():
    plain = Settings(samples=3, temperature=1.0, reward_offset=1.0)
    against = Settings(samples=3, temperature=1.0, baseline="leave-one-out", reward_offset=1.0)
    assert advantages([-0.5, -1.0, 0.0], plain) == [0.5, 0.0, 1.0]
    assert advantages([-0.5, -1.0, 0.0], against) == pytest.approx([0.0, -0.75, 0.75])
    assert advantages([-0.5], against) == [0.5]  # the start is alone


def test_answers_that_are_all_as_good_give_no_gradient(space):
    z = latents(4)
    settings = Settings(samples=2, temperature=1.0, baseline="leave-one-out")
    same = [trial([1, 2, 3, 4], -0.5), trial([5, 6, 7, 8], -0.5)]
    assert policy_gradient(z, same, space, settings).abs().max() == 0
    better = [trial([1, 2, 3, 4], -0.25), trial([5, 6, 7, 8], -0.5)]
    moved = z + 0.01 * policy_gradient(z, better, space, settings)
    gain = space.logits(moved).log_softmax(-1) - space.logits(z).log_softmax(-1)
    assert (gain[range(4), [1, 2, 3, 4]] > 0).all()
    assert (gain[range(4), [5, 6, 7, 8]] < 0).all()


# -------------------------------------------------------------------------- forking positions


@pytest.mark.parametrize("positions", ["entropy", "margin"])
def test_only_the_positions_that_fork_are_updated(space, positions):
    z = latents(20)
    z[7], z[13] = z[7] * 0.05, z[13] * 0.05  # nearly equal logits: the least sure of all
    mask = updated(z, space.logits, Settings(positions=positions, position_share=0.1))
    assert mask is not None
    assert mask.flatten().nonzero().flatten().tolist() == [7, 13]
    assert updated(z, space.logits, Settings()) is None
    (_, (_, search), *_) = searched(space, z, positions=positions, position_share=0.1)
    assert search.iterations == 6
    prefixes = [prefix for prefix, _ in searched(space, z, positions=positions, position_share=0.1)]
    moved = {place for a, b in pairwise(prefixes) for place in range(20) if a[place] != b[place]}
    assert moved <= {7, 13}
    assert moved


def test_at_least_one_position_is_updated(space):
    mask = updated(latents(3), space.logits, Settings(positions="margin", position_share=0.01))
    assert mask is not None
    assert mask.sum() == 1


# -------------------------------------------------------------------------- step by the margin


@pytest.mark.parametrize("seed", range(5))
def test_a_step_goes_just_to_where_a_token_changes(space, seed):
    z, step = latents(12, seed), 0.01 * latents(12, seed + 100)

    def decode(at):
        return space.decode(at, GREEDY)

    moved = to_the_edge(z, step, space.logits, decode, FREE)
    assert decode(moved) != decode(z)
    length = float((moved - z).norm() / step.norm())
    bends = space.model.config.model_type == "gemma2"
    before = 0.45 if bends else 0.9  # a bent head: at most twice as long
    assert decode(z + before * length * step) == decode(z)
    if not bends:
        nearest = edge(z, step, decode(z), space.logits, FREE)
        assert nearest == pytest.approx(length / 1.1, rel=0.01)


def test_no_step_is_wasted(space):
    z = latents(5)
    prefixes = [prefix for prefix, _ in searched(space, z, learning_rate=1e-4)]
    assert len(set(prefixes)) == 1  # so small a rate changes nothing in six steps
    prefixes = [prefix for prefix, _ in searched(space, z, learning_rate=1e-4, step="margin")]
    assert all(a != b for a, b in pairwise(prefixes))


def test_where_no_token_lies_ahead_the_step_is_as_it_was(space):
    z = latents(3)
    still = torch.zeros_like(z)
    decode = lambda at: space.decode(at, GREEDY)  # noqa: E731
    assert torch.equal(to_the_edge(z, still, space.logits, decode, FREE), z)


# ------------------------------------------------------------------- what follows a change


def test_a_prefix_can_end_with_the_token_that_changes(space):
    assert until_change((1, 2, 3), (1, 2, 3, 4)) == (1, 2, 3)
    assert until_change((1, 5, 3), (1, 2, 3)) == (1, 5)
    z = latents(12)
    draft, *tried = (
        prefix for prefix, _ in searched(space, z, rest="anew", step="margin", learning_rate=0.1)
    )
    changed = [prefix for prefix in tried if prefix != draft]
    assert changed
    for prefix in changed:
        assert prefix[:-1] == draft[: len(prefix) - 1]
        assert prefix[-1] != draft[len(prefix) - 1]


@pytest.mark.slow
def test_a_long_prefix_mends_answers_once_the_rest_is_written_anew():
    model = open_model("bundled")
    solved = {}
    for rest in ("kept", "anew"):
        settings = settings_for("default", prefix_tokens=10, rest=rest, step="margin")
        agent = LatentAgent(model, settings)
        planted = [question for question in QUESTIONS if question.family in PLANTED]
        outcomes = [agent.answer([Turn("user", question.text)]) for question in planted]
        solved[rest] = sum(one.stopped == "threshold" for one in outcomes)
    assert solved["kept"] < solved["anew"] == len(planted)


# --------------------------------------------------------------------------------------- flips


def test_flips_come_by_the_gap(space):
    z = latents(17)
    tokens = space.decode(z, GREEDY)
    logits = space.logits(z)
    every = sorted(
        (float(logits[place, token] - logits[place, other]), place, other)
        for place, token in enumerate(tokens)
        for other in range(logits.shape[-1])
        if other != token
    )
    results = flips(z, tokens, space.logits, FREE, 30)
    assert results == [(place, other) for _, place, other in every[:30]]


def test_only_what_may_follow_is_offered(space):
    class Even:
        def mask(self, logits, tokens):
            odd = torch.arange(len(logits)) % 2 == 1
            return logits.masked_fill(odd, float("-inf"))

    z = latents(4)
    tokens = [int(Even().mask(row, ()).argmax()) for row in space.logits(z)]
    results = flips(z, tokens, space.logits, Even(), 500)
    assert len(results) == 500
    assert all(other % 2 == 0 and other != tokens[place] for place, other in results)


@pytest.mark.parametrize("rank", [1, 2, 5, 20])
def test_a_turned_latent_stands_for_its_token(space, rank):
    (row,) = latents(1, seed=rank)
    token = int(space.logits(row[None])[0].topk(rank + 1).indices[-1])
    moved = turned(row, token, space.logits)
    assert space.decode(moved[None], GREEDY) == (token,)


@pytest.mark.parametrize(
    "given", [{"search": "flip"}, {"rest": "anew", "step": "margin", "prefix_tokens": 10}]
)
def test_a_trace_holds_latents_that_stand_for_its_tokens(given, tmp_path):
    model, settings = open_model("bundled"), settings_for("default", **given)
    reward = default_reward(settings.judge)
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        agent = LatentAgent(model, settings, reward, TraceMemory(memory, "n", reward.id))
        outcomes = [agent.answer([Turn("user", question.text)]) for question in QUESTIONS]
        turned_ones = [one for one in outcomes if one.iterations and one.trace_id is not None]
        assert any(one.stopped == "threshold" for one in turned_ones)
        (info,) = memory.shelves()
        for stored in memory.stream(info.shelf):
            rows = torch.from_numpy(stored.trace.optimised.copy())
            assert model.engine().decode(rows, GREEDY) == tuple(stored.trace.tokens)


# ---------------------------------------------------------------------------- ties and verdicts


def test_of_equal_rewards_the_shortest_can_be_kept():
    rounds = [trial([1], -0.5, 9), trial([2], -0.5, 4), trial([3], -0.5, 6), trial([4], -0.6, 1)]
    kept = {}
    for ties in ("first", "shortest"):
        search = SearchRecord(ties=ties)
        for one in rounds:
            search.add_round([(torch.zeros(1, 1), [one])], -0.2)
        assert search.best is not None
        kept[ties] = search.best.trial.prefix
    assert kept == {"first": (1,), "shortest": (2,)}
    search = SearchRecord(ties="shortest")
    both = [trial([1], -0.1, 9), trial([2], -0.1, 1, vetoed=True)]
    search.add_round([(torch.zeros(1, 1), both)], -0.2)
    assert search.best is not None
    assert search.best.trial.prefix == (1,)  # what is refused is no tie


def test_a_probability_says_as_much_as_the_verdict_and_more():
    model = open_model("bundled")
    graded, plain = SelfReward(verdict="probability"), SelfReward(verdict="logits")
    assert reward_from_id(graded.id).id == graded.id
    shares = set()
    for question in QUESTIONS[:7]:
        turns = [Turn("user", question.text)]
        prompt = encode_chat(model.tokenizer, turns)
        settings = settings_for("default")
        results = [
            Call(model, settings, reward, turns, prompt).scored_draft().trial.score.checks
            for reward in (graded, plain)
        ]
        for name, share in results[0].items():
            assert 0 <= share <= 1
            assert (share > 0.5) == bool(results[1][name])
            shares.add(share)
    assert len(shares) > 7  # graded, not two values


# ----------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"search": "random"}, r"search must be one of gradient, .*, flip, got 'random'"),
        ({"search": "flip", "temperature": 1.0}, r"search='flip' needs temperature=0, got .*1\.0"),
        ({"step": "margin", "temperature": 0.5}, "step='margin' needs temperature=0"),
        ({"baseline": "leave-one-out"}, "baseline='leave-one-out' needs samples of at least 2"),
        ({"position_share": 0.0}, r"position_share must lie in \(0, 1\]"),
        ({"verdict": "shout"}, "verdict must be one of generate, logits, probability"),
    ],
)
def test_what_does_not_fit_is_refused(given, rule):
    with pytest.raises(SettingError, match=rule):
        settings_for("default", **given)
    with pytest.raises(SettingError, match="verdict='probability' reads True or False"):
        default_reward("grades", "probability")

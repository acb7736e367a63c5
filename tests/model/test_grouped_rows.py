"""Rows in groups that begin alike: each beginning is read once, and nothing else changes."""

import pytest
import torch

from latent_agent.model import generate
from latent_agent.model.budget import Budget
from latent_agent.model.engine import AnswerLimits, Engine, Writing
from latent_agent.model.options import LoadOptions
from latent_agent.model.registry import open_model


def ids(length: int, seed: int) -> list[int]:
    made = torch.randint(5, 300, (length,), generator=torch.Generator().manual_seed(seed))
    return [int(one) for one in made]


ANSWERS, CHECKS = (40, 33, 52), (9, 12, 7)
PROMPTS = [
    [*ids(60, 0), *ids(answer, answer), *ids(check, check)]
    for answer in ANSWERS
    for check in CHECKS
]


@pytest.fixture(params=["transformers", "llama.cpp"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "transformers":
        return open_model("bundled", None, LoadOptions(dtype="float32")).engine()
    pytest.importorskip("llama_cpp")
    place = request.getfixturevalue("bundled_gguf")
    return open_model(place, None, LoadOptions(threads=1)).engine()


def test_what_a_group_shares_is_read_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[torch.Tensor, list[tuple[int, ...]]]] = []
    spent: list[int] = []
    for worth in (generate._WORTH_A_PASS, 10**9):
        monkeypatch.setattr(generate, "_WORTH_A_PASS", worth)
        budget = Budget()
        sequence = engine.sequence(budget)
        logits = sequence.next_logits(PROMPTS, "judge")
        spent.append(budget.total)
        limits = AnswerLimits(max_tokens=20)
        rows = [Writing(prompt=prompt, limits=limits) for prompt in PROMPTS]
        found.append((logits, [one.tokens for one in sequence.write(rows, "judge")]))
    (grouped, said), (apart, said_apart) = found
    assert torch.allclose(grouped, apart, atol=1e-3)
    assert said == said_apart
    assert spent == [
        60 + sum(ANSWERS) + len(ANSWERS) * sum(CHECKS),
        60 + len(CHECKS) * sum(ANSWERS) + len(ANSWERS) * sum(CHECKS),
    ]


def test_rows_that_share_little_are_read_as_they_are() -> None:
    assert generate._heads([[1, 2, 3], [1, 2, 4]]) is None
    assert generate._heads([ids(50, 1), ids(50, 2)]) is None

"""How many threads a model's passes run on."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from latent_agent.model.options import LoadOptions
from latent_agent.model.registry import open_model
from latent_agent.model.threads import SHARED_FROM, Threads
from tests.support.engines import transformers_engine
from tests.support.memories import run_python
from tests.support.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("asked", "weights", "count"),
    [
        (None, SHARED_FROM - 1, 1),
        (None, SHARED_FROM, 2),
        (None, None, 2),
        (2, 10, 2),
        (1, SHARED_FROM, 1),
    ],
)
def test_small_models_keep_to_one_thread(
    asked: int | None, weights: int | None, count: int
) -> None:
    threads = Threads(asked, weights)
    with threads.used():
        assert torch.get_num_threads() == threads.count == count
    assert torch.get_num_threads() == 2


def test_an_error_gives_the_threads_back() -> None:
    with pytest.raises(KeyError), Threads(1, None).used():
        raise KeyError
    assert torch.get_num_threads() == 2


def seen_in_passes(**given: Any) -> set[int]:
    """Return on how many threads the body and the head of a tiny model are computed."""
    model, seen = tiny_model(), set[int]()
    shared = open_model(model, tiny_tokenizer(), LoadOptions(**given))
    engine = transformers_engine(shared)

    def look(*_: object) -> None:
        seen.add(torch.get_num_threads())

    body: Any = model.base_model
    for module in (body, *body.layers):
        module.register_forward_hook(look)
    for work in (
        lambda: engine.embed([[1, 2, 3]]),
        lambda: engine.logits(torch.zeros(1, engine.width)),
    ):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        work()
    return seen


def test_passes_run_on_them_in_any_thread() -> None:
    assert seen_in_passes() == {1}
    assert seen_in_passes(threads=1) == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("given", "policy"),
    [({}, "1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"), ({"GOMP_SPINCOUNT": "9"}, "9")],
    ids=str,
)
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(
    given: dict[str, str], policy: str
) -> None:
    kept = {
        name: text
        for name, text in os.environ.items()
        if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    code = "import os, latent_agent; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert run_python(code, env={**kept, **given}).stdout.strip() == policy

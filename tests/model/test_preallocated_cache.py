"""A cache with room gives what the library's own gives, bit for bit, and copies less."""

import pytest
import torch
from transformers import DynamicCache

from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.model.transformers_engine.preallocated_cache import (
    PreallocatedCache,
    PreallocatedLayer,
)
from tests.support.tiny import CONFIGS, tiny_model, tiny_tokenizer


def states(engine, cache):
    made = [engine.states(torch.arange(3, 40)[None], cache)[:, -1]]
    for token in range(100):
        made.append(engine.states(torch.tensor([[token + 3]]), cache)[:, -1])
        if token == 80:
            cache.crop(-70)
    return torch.cat(made)


@pytest.mark.parametrize("name", CONFIGS)
def test_states_are_those_of_the_library_cache(name):
    engine = TransformersEngine(tiny_model(name), tiny_tokenizer())
    ours, theirs = PreallocatedCache(), DynamicCache()
    assert torch.equal(states(engine, ours), states(engine, theirs))
    assert ours.get_seq_length() == theirs.get_seq_length() == 37 + 100 - 70


def columns(start, count, rows=1):
    made = torch.arange(start, start + count, dtype=torch.float32)
    return made[None, None, :, None].repeat(rows, 2, 1, 4)


def test_room_is_made_a_few_times_only_and_the_more_the_wider():
    layer, rooms = PreallocatedLayer(), set[int]()
    keys = values = torch.empty(0)
    for token in range(4000):
        keys, values = layer.update(columns(token, 1), -columns(token, 1))
        assert layer._room is not None
        rooms.add(layer._room[0].data_ptr())
    assert torch.equal(keys, columns(0, 4000))
    assert torch.equal(values, -columns(0, 4000))
    assert len(rooms) < 40


def test_what_was_cropped_is_written_over_and_nothing_else():
    layer = PreallocatedLayer()
    layer.update(columns(0, 10), columns(0, 10))
    layer.crop(-4)
    keys, _ = layer.update(columns(50, 2), columns(50, 2))
    assert keys[0, 0, :, 0].tolist() == [0, 1, 2, 3, 4, 5, 50, 51]


def test_what_another_holds_is_copied_before_it_is_written_to():
    layer = PreallocatedLayer()
    layer.update(columns(0, 10), columns(0, 10))
    batch = columns(20, 30, rows=3)
    layer.keys = layer.values = batch[1:2, :, 5:15]
    keys, _ = layer.update(columns(90, 1), columns(90, 1))
    assert keys[0, 0, :, 0].tolist() == [*range(25, 35), 90]
    assert torch.equal(batch, columns(20, 30, rows=3))

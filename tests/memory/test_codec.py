"""Latents as bytes: what is lost, and that damage never goes unnoticed."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from latent_memory import DamageError
from latent_memory.codec import decode_latents, encode_latents

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 17))
FLOAT16 = st.floats(-65504, 65504, width=32)


@st.composite
def latents(draw):
    shape = draw(SHAPES)
    return tuple(draw(arrays.arrays(np.float32, shape, elements=FLOAT16)) for _ in range(2))


@settings(max_examples=200, deadline=None)
@given(latents())
def test_the_error_is_bounded(pair) -> None:
    base, optimised = pair
    got_base, got = decode_latents(encode_latents(base, optimised))
    assert got.dtype == got_base.dtype == np.float32
    np.testing.assert_array_equal(got_base, base.astype(np.float16).astype(np.float32))
    largest = np.abs(optimised - got_base).max(axis=1, keepdims=True)
    assert (np.abs(got - optimised) <= largest / 253 + 1e-6 * np.abs(base) + 1e-6).all()


@settings(max_examples=100, deadline=None)
@given(latents())
def test_coding_again_changes_nothing_more(pair) -> None:
    once = decode_latents(encode_latents(*pair))
    twice = decode_latents(encode_latents(*once))
    np.testing.assert_array_equal(once[0], twice[0])
    np.testing.assert_allclose(once[1], twice[1], rtol=1e-5, atol=1e-3)


def test_latents_that_did_not_move_come_back_as_the_base() -> None:
    base = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(decode_latents(encode_latents(base, base))[1], base)


def test_the_same_tokens_are_decoded() -> None:
    """Gaussian latents, moved by up to 0.3, through a random head of 2,000 tokens."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal((300, 192), dtype=np.float32)
    optimised = base + rng.uniform(-0.3, 0.3, base.shape).astype(np.float32)
    head = rng.standard_normal((192, 2000), dtype=np.float32)
    got = decode_latents(encode_latents(base, optimised))[1]
    same = np.argmax(got @ head, axis=1) == np.argmax(optimised @ head, axis=1)
    assert same.mean() >= 0.99


def test_three_bytes_a_coordinate() -> None:
    base = np.ones((20, 896), dtype=np.float32)
    assert len(encode_latents(base, base)) == 3 * 20 * 896 + 4 * 20 + 11


def test_every_flipped_bit_is_noticed() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((2, 5), dtype=np.float32)
    packed = encode_latents(base, base + 0.1)
    for at in range(8 * len(packed)):
        damaged = bytearray(packed)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(DamageError):
            decode_latents(bytes(damaged))


def test_every_truncation_is_noticed() -> None:
    packed = encode_latents(np.ones((2, 5), np.float32), np.ones((2, 5), np.float32))
    for length in range(len(packed)):
        with pytest.raises(DamageError):
            decode_latents(packed[:length])
    with pytest.raises(DamageError):
        decode_latents(packed + b"\0")


def test_another_format_is_named() -> None:
    packed = encode_latents(np.ones((2, 5), np.float32), np.ones((2, 5), np.float32))
    with pytest.raises(DamageError, match="format 1, got format 9"):
        decode_latents(struct.pack("<B", 9) + packed[1:])

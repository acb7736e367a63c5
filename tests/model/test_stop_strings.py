"""Stop texts are found in a growing answer exactly when its whole text holds one."""

import random
from collections.abc import Callable, Sequence

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from latent_agent.model.stop_strings import holds_stop
from tests.support.tiny import tiny_tokenizer

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_fallback():
    """A tokenizer that writes what it does not know as bytes, all of which are decoded at once."""
    words = [*BYTES, "▁a", "a", "▁", "ab", "b", ".", "▁b."]
    inner = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, []))
    inner.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner), len(words)


def decoder(tokenizer) -> Callable[[Sequence[int]], str]:
    return lambda tokens: tokenizer.decode(tokens, clean_up_tokenization_spaces=False)


def grows(text, tokens, stop):
    """Compare with the whole text after each token; return whether a stop text came."""
    for length in range(1, len(tokens) + 1):
        so_far = tokens[:length]
        expected = any(word in text(so_far) for word in stop)
        assert holds_stop(text, so_far, stop, new=1) == expected
        if expected:
            return True
    return False


@pytest.mark.parametrize("stop", [("aba",), ("é",), ("éa", "b. a"), ("ab ab", "😀😀", "\ufffd.")])
def test_bytes_that_are_decoded_together(stop):
    tokenizer, size = byte_fallback()
    draw = random.Random(0)
    smile, accent = list("😀".encode()), list("é".encode())
    plain = [[n] for n in range(256, size)]
    broken = [[draw.randrange(256)] for _ in range(2)]
    found = 0
    for _ in range(150):
        parts = draw.choices([smile, accent, *plain, *broken], k=60)
        found += grows(decoder(tokenizer), [token for part in parts for token in part], stop)
    assert found


@pytest.mark.parametrize("stop", [("the",), (". T", "7 "), ("Tom has 27 apples",)])
def test_the_bundled_tokenizer(stop):
    tokenizer = tiny_tokenizer()
    draw = random.Random(1)
    text = "Tom lends 3 apples. Tom has 27 apples and the 17 pears. "
    words = tokenizer.encode(text, add_special_tokens=False)
    found = 0
    for _ in range(100):
        start = draw.randrange(len(words))
        tokens = draw.choices(words, k=40) + words[start:] + words[:start]
        found += grows(decoder(tokenizer), tokens, stop)
    assert found


def test_a_long_answer_is_not_decoded_again_for_each_token():
    tokenizer = tiny_tokenizer()
    decoded = []

    def text(tokens):
        decoded.append(len(tokens))
        return decoder(tokenizer)(tokens)

    tokens = tokenizer.encode("Tom has 27 apples. " * 300, add_special_tokens=False)
    assert not holds_stop(text, tokens, ("###",), new=1)
    assert len(tokens) > 1000 > 100 > sum(decoded)


def test_nothing_is_decoded_without_stop_texts():
    assert not holds_stop(lambda tokens: pytest.fail("decoded"), [1, 2], (), new=1)

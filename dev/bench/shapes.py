"""Random-weight models of named shapes, and a tokenizer whose texts keep their length.

What a model costs depends on its shape alone. The vocabulary is one of whole words, so that an
answer of T tokens is read again by the judge as exactly T tokens, and no token ends an answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from latent_agent.errors import SettingError
from latent_agent.reward.judge_prompts import DEFAULT_PROMPTS

WINDOW = 1 << 16
_GAIN = 2.0  # of a layer's matrix on what goes into it


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a decoder with tied embeddings."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int


def _shape(d: int, wide: int, layers: int, heads: int, kv_heads: int, words: int) -> Shape:
    return Shape(
        hidden_size=d,
        intermediate_size=wide,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=words,
    )


SHAPES: Mapping[str, Shape] = {
    "tiny": _shape(64, 128, 2, 4, 2, 1_000),
    "20M": _shape(384, 1024, 5, 6, 2, 32_000),
    "100M": _shape(768, 2048, 12, 12, 4, 32_000),
    "0.5B": _shape(896, 4864, 24, 14, 2, 151_936),
    "1.5B": _shape(1536, 8960, 28, 12, 2, 151_936),
}


def shaped_config(name: str, vocabulary: int | None = None) -> Qwen2Config:
    """Return the config of a named shape.

    Raises:
        SettingError: If there is no such shape, or the vocabulary is too small.
    """
    if name not in SHAPES:
        raise SettingError(f"--shape must be one of {', '.join(SHAPES)}, got {name!r}; choose one")
    sizes = asdict(SHAPES[name])
    sizes["vocab_size"] = vocabulary or sizes["vocab_size"]
    if sizes["vocab_size"] < (least := 2 * len(_instruction_words())):
        raise SettingError(
            f"--vocabulary must hold the judge's words and others, got {vocabulary!r}; give "
            f"{least} or more"
        )
    return Qwen2Config(
        **sizes,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


def shaped_model(
    config: Qwen2Config, dtype: str = "float32", device: str | None = None, seed: int = 0
) -> PreTrainedModel:
    """Return a model of random weights, the same for the same seed.

    Its layers say more than its embeddings, or it would repeat the last token for ever.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    embeddings = model.get_input_embeddings().weight
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1 and weight is not embeddings:
                weight.mul_(_GAIN / (config.initializer_range * weight.shape[1] ** 0.5))
    return model.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def word_tokenizer(size: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of so many words: those of the built-in judge prompts, then made-up ones.

    Texts are words with a space between them; each is one token, and back.
    """
    words = _instruction_words()
    words += made_up_words(size - len(words))
    inner = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def made_up_words(count: int) -> list[str]:
    """Return words that mean nothing."""
    return [f"w{number}" for number in range(count)]


def _instruction_words() -> list[str]:
    return list(dict.fromkeys(_all_instruction_words()))


def _all_instruction_words() -> Iterator[str]:
    yield from ("User:", "Assistant:")
    for texts in (DEFAULT_PROMPTS.checks, DEFAULT_PROMPTS.quick):
        for text in texts.values():
            yield from text.split()
    yield from DEFAULT_PROMPTS.words

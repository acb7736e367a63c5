"""Language models of named shapes with random weights: what they say means nothing, at full cost.

They have no stop token, so answers and the judge's replies have their greatest length.
"""

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

from latent_agent.errors import SettingError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHAPES: Mapping[str, tuple[int, int, int, int]] = {
    "3M": (128, 384, 5, 8_000),
    "20M": (384, 1024, 6, 16_000),
    "100M": (768, 2048, 12, 32_000),
    "0.5B": (1280, 3456, 20, 50_000),
    "1.5B": (2048, 5504, 28, 64_000),
}
"""Width d, width of the MLP, layers, vocabulary; heads of 64, embeddings tied to the head."""


def random_model(shape: str, dtype: str = "float32", device: str = "cpu") -> "PreTrainedModel":
    """Build a Llama of a named shape.

    Raises:
        SettingError: If there is no such shape.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if shape not in SHAPES:
        raise SettingError(f"--shape must be one of {list(SHAPES)}, got {shape!r}; try 100M")
    width, inner, layers, vocabulary = SHAPES[shape]
    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        vocab_size=vocabulary,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(getattr(torch, dtype))
    return model.to(device)  # type: ignore[arg-type] - as transformers declares it


def word_tokenizer(vocabulary: int) -> "PreTrainedTokenizerBase":
    """Return a tokenizer with a made-up word for each id."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"w{number}": number for number in range(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.chat_template = (
        "{% for message in messages %}{{ message['content'] }} w1 {% endfor %}"
        "{% if add_generation_prompt %}w2{% endif %}"
    )
    return fast


def made_up_text(tokens: int, vocabulary: int, seed: int) -> str:
    """Return a text of so many tokens."""
    random = Random(seed)
    return " ".join(f"w{random.randrange(vocabulary)}" for _ in range(tokens))

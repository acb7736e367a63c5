"""Tiny random-weight models of many architectures, and the tokenizer that they share."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

from dev.bundled_model.tokenizer import VOCABULARY_SIZE, build_tokenizer

WINDOW = 512
SLIDING = 16


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of all tiny models. It is shared: copy it before changing it."""
    return build_tokenizer(seed=0, count=500)


def _shape(**more: Any) -> dict[str, Any]:
    # No EOS here: it comes from the tokenizer alone, unless a test says otherwise.
    return {
        "vocab_size": VOCABULARY_SIZE,  # larger than the tokenizer's own, as real ones often are
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": WINDOW,
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": None,
        **more,
    }


def _gqa(**more: Any) -> dict[str, Any]:
    return _shape(num_key_value_heads=2, **more)


def _gpt2() -> GPT2Config:
    small: dict[str, Any] = {"vocab_size": VOCABULARY_SIZE, "n_embd": 32, "n_layer": 2, "n_head": 4}
    return GPT2Config(
        **small, n_positions=WINDOW, bos_token_id=None, eos_token_id=None, pad_token_id=0
    )


CONFIGS: Mapping[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**_gqa(tie_word_embeddings=False)),
    "llama-tied": lambda: LlamaConfig(**_gqa(tie_word_embeddings=True)),
    "qwen2": lambda: Qwen2Config(**_gqa()),
    "qwen3": lambda: Qwen3Config(**_gqa(head_dim=8)),
    "mistral": lambda: MistralConfig(**_gqa(sliding_window=SLIDING)),
    "phi3": lambda: Phi3Config(**_gqa(sliding_window=SLIDING)),
    "gemma2": lambda: Gemma2Config(
        **_gqa(head_dim=8, sliding_window=SLIDING, final_logit_softcapping=5.0)
    ),
    "gemma3": lambda: Gemma3TextConfig(**_gqa(head_dim=8, sliding_window=SLIDING)),
    "cohere": lambda: CohereConfig(**_gqa(logit_scale=0.25)),
    "granite": lambda: GraniteConfig(**_gqa(logits_scaling=4.0)),
    "gpt-neox": lambda: GPTNeoXConfig(**_shape()),
    "gpt2": _gpt2,
    "olmo2": lambda: Olmo2Config(**_gqa()),
    "mixtral": lambda: MixtralConfig(**_gqa(num_local_experts=4, num_experts_per_tok=2)),
    "qwen3-moe": lambda: Qwen3MoeConfig(
        **_gqa(head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32)
    ),
}
SLIDING_NAMES = ("mistral", "phi3", "gemma2", "gemma3")


def tiny_model(name: str = "llama", dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A fresh model of a named config, the same at every call."""
    return randomised(AutoModelForCausalLM.from_config(CONFIGS[name]()), dtype)


def randomised(model: PreTrainedModel, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Draw all weight matrices again, layers large and embeddings small.

    So the argmax moves from token to token, also where the head is tied to the embeddings.
    """
    generator = torch.Generator().manual_seed(0)
    embeddings = model.get_input_embeddings().weight
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                spread = 0.02 if weight is embeddings else 0.4
                weight.normal_(0.0, spread, generator=generator)
    moved: Any = model.eval()
    return moved.to(dtype)

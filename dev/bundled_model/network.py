"""The bundled model's network: a small Llama, built untrained and written as a model folder."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from dev.bundled_model.judging import judge_prompts
from dev.bundled_model.tokenizer import END_OF_TEXT, END_OF_TURN
from latent_agent.model.transformers_engine.source import JUDGE_FILE

_ALIKE, _MANY = 0.9, 20  # embeddings so alike, and so many of them, were never trained


def new_model(tokenizer: PreTrainedTokenizerBase, seed: int) -> LlamaForCausalLM:
    """Build the untrained network: a Llama of 5 layers, d = 128, tied embeddings."""
    torch.manual_seed(seed)
    stops: Any = tokenizer.convert_tokens_to_ids([END_OF_TURN, END_OF_TEXT])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=None,
        eos_token_id=stops,
        pad_token_id=stops[1],
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=stops, pad_token_id=stops[1], do_sample=False
    )
    return model


def load_weights(model: LlamaForCausalLM, folder: Path) -> None:
    """Read the weights that `save_model` wrote."""
    tensors = load_file(folder / "model.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])


def renew_unused(model: LlamaForCausalLM, seed: int) -> int:
    """Draw anew the embeddings of tokens that training never met; return how many there were.

    Training pushes all of them the same way, until they are one and the same vector: no later
    stage could tell one letter from another. They become random vectors of the usual size.
    """
    rows = model.model.embed_tokens.weight
    with torch.no_grad():
        directions = functional.normalize(rows)
        alike = (directions @ directions.T > _ALIKE).sum(1)
        unused = alike > _MANY
        if unused.any():
            fresh = torch.randn(rows.shape, generator=torch.Generator().manual_seed(seed))
            rows[unused] = fresh[unused] * rows[~unused].std()
    return int(unused.sum())


def save_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a Hugging Face folder, the weights in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tensors = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    tensors.pop("lm_head.weight", None)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / JUDGE_FILE).write_text(json.dumps(judge_prompts(), indent=2) + "\n", "utf-8")

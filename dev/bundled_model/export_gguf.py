"""Write the bundled model as a GGUF file: ``python -m dev.bundled_model.export_gguf --out FILE``.

In float32, so that llama.cpp gives the same logits. The folder's tokenizer and judge prompts
travel under keys that `latent_agent.model.gguf` reads.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import gguf
import torch
import typer
from safetensors.torch import load_file

from latent_agent.model.gguf.file import JUDGE
from latent_agent.model.gguf.tokenizer import CONFIG, HUGGING_FACE
from latent_agent.model.places import bundled_path

_BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}


def export(folder: Path, out: Path) -> None:
    """Write a model folder of the bundled model's kind: a Llama with tied embeddings.

    Args:
        folder: Holds config, weights, tokenizer, chat template and judge prompts.
        out: The file to write.
    """
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    writer = gguf.GGUFWriter(out, "llama")
    _write_shape(writer, config)
    _write_tokenizer(writer, folder, config)
    writer.add_string(JUDGE, (folder / "judge.json").read_text("utf-8"))
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for name, weight in load_file(folder / "model.safetensors").items():
        renamed = _renamed(name.removesuffix(".weight"))
        if (count := heads.get(renamed.rpartition(".")[2])) is not None:
            weight = _as_pairs(weight, count)
        writer.add_tensor(f"{renamed}.weight", weight.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _renamed(name: str) -> str:
    if name in _WHOLE:
        return _WHOLE[name]
    _, _, layer, part = name.split(".", 3)
    return f"blk.{layer}.{_BLOCK[part]}"


def _as_pairs(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Order each head's rows as llama.cpp turns them: neighbours instead of halves."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return halves.swapaxes(1, 2).reshape(weight.shape).contiguous()


def _write_shape(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_name("latent-agent bundled model")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _write_tokenizer(writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any]) -> None:
    whole = (folder / "tokenizer.json").read_text("utf-8")
    parts: dict[str, Any] = json.loads(whole)
    special = {token["id"]: token["content"] for token in parts["added_tokens"]}
    ids = {**parts["model"]["vocab"], **{text: id_ for id_, text in special.items()}}
    texts = sorted(ids, key=lambda text: ids[text])
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")  # the nearest rule that llama.cpp has
    writer.add_token_list(texts)
    writer.add_token_types(
        [kinds.CONTROL if id_ in special else kinds.NORMAL for id_ in range(len(texts))]
    )
    writer.add_token_merges([" ".join(pair) for pair in parts["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"][0])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text("utf-8"))
    writer.add_string(HUGGING_FACE, whole)
    writer.add_string(CONFIG, (folder / "tokenizer_config.json").read_text("utf-8"))


def main(out: Annotated[Path, typer.Option(help="The file to write.")]) -> None:
    """Write the bundled model as a GGUF file."""
    export(bundled_path(), out)
    typer.echo(f"wrote {out}", err=True)


if __name__ == "__main__":
    typer.run(main)

"""The tokens that end an answer, found as llama.cpp finds them: by metadata, and by their texts."""

from collections.abc import Mapping
from typing import Any

_NAMED = ("eos", "eot", "eom")
_FILL_IN = ("fim_pad", "fim_rep", "fim_sep")
_TEXTS = frozenset(
    {
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|calls|>"),
        *("<|flush|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>"),
        *("[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>"),
        *("<|tool_response>", "<｜end▁of▁sentence｜>", "[e~["),  # noqa: RUF001 - DeepSeek's letters
    }
)
# Of each kind the first that a vocabulary holds, unless the metadata names another.
_FILL_IN_TEXTS = {
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}


def stop_ids(values: Mapping[str, Any], tokens: Mapping[str, int]) -> frozenset[int]:
    """Collect every id that ends an answer.

    Args:
        values: A file's metadata.
        tokens: Ids by the token's text.
    """
    stops = {tokens[text] for text in _TEXTS if text in tokens}
    for name in (*_NAMED, *_FILL_IN):
        named = values.get(f"tokenizer.ggml.{name}_token_id")
        if named is None:
            texts = _FILL_IN_TEXTS.get(name, ())
            named = next((tokens[text] for text in texts if text in tokens), None)
        if named is not None and 0 <= named < len(tokens):
            stops.add(named)
    return frozenset(stops - {tokens[text] for text in _no_stops(tokens)})


def _no_stops(tokens: Mapping[str, int]) -> set[str]:
    """Return what looks like a stop, but ends a part of an answer only, or nothing."""
    told = {"<|return|>", "<|call|>"}, {"<|calls|>", "<|flush|>"}, {"<|call|>", "<|flush|>"}
    found: set[str] = set()
    if "<|end|>" in tokens and any(pair <= tokens.keys() for pair in told):
        found.add("<|end|>")  # of a channel, in the formats of gpt-oss and Solar Open
    if {"<|tool_response>", "</s>"} <= tokens.keys():
        found.add("</s>")  # a plain word of Gemma 4
    return found

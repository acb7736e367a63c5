"""Chat templates that know tools, as the common families write them, and tokenizers with them."""

from typing import Any

import torch
from transformers import AddedToken, AutoModelForCausalLM, AutoTokenizer

from latent_agent.teaching import model_path

_TURN = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] -%}{{- message['content'] -}}{%- endif -%}
{%- if message['tool_calls'] -%}CALLS{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
_TOOLS = """\
{%- if tools -%}
{{- '<|im_start|>system\\nTools:' -}}
{%- for tool in tools -%}{{- '\\n' + (tool | tojson) -}}{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
"""


def _template(calls: str) -> str:
    return _TOOLS + _TURN.replace("CALLS", calls)


HERMES = _template("""
{%- for call in message['tool_calls'] -%}
{{- ('' if loop.first else '\\n') + '<tool_call>\\n{"name": "' + call['function']['name'] -}}
{{- '", "arguments": ' + (call['function']['arguments'] | tojson) + '}\\n</tool_call>' -}}
{%- endfor -%}""")
LLAMA = _template("""
{%- if message['tool_calls'] | length != 1 -%}
{{- raise_exception('one call a turn') -}}
{%- endif -%}
{%- set call = message['tool_calls'][0]['function'] -%}
{{- '<|python_tag|>{"name": "' + call['name'] + '", "parameters": ' -}}
{{- (call['arguments'] | tojson) + '}' -}}""")
MISTRAL = _template("""
{{- '[TOOL_CALLS][' -}}
{%- for call in message['tool_calls'] -%}
{%- if call['id'] | length != 9 -%}{{- raise_exception('an id has nine letters') -}}{%- endif -%}
{{- ('' if loop.first else ', ') + '{"name": "' + call['function']['name'] + '", "arguments": ' -}}
{{- (call['function']['arguments'] | tojson) + ', "id": "' + call['id'] + '"}' -}}
{%- endfor -%}
{{- ']' -}}""")
MISTRAL_ARGS = _template("""
{%- for call in message['tool_calls'] -%}
{{- '[TOOL_CALLS]' + call['function']['name'] + '[ARGS]' -}}
{{- call['function']['arguments'] | tojson -}}
{%- endfor -%}""")

FAMILIES: dict[str, tuple[str, list[AddedToken]]] = {
    "hermes": (HERMES, []),  # the markers are plain text
    "qwen": (
        HERMES,  # the markers are tokens, but not special ones
        [AddedToken("<tool_call>", special=False), AddedToken("</tool_call>", special=False)],
    ),
    "llama": (LLAMA, [AddedToken("<|python_tag|>", special=True)]),
    "mistral": (MISTRAL, [AddedToken("[TOOL_CALLS]", special=True)]),
    "mistral-args": (
        MISTRAL_ARGS,
        [AddedToken("[TOOL_CALLS]", special=True), AddedToken("[ARGS]", special=True)],
    ),
}
FORMATS = {
    "hermes": "Hermes",
    "qwen": "Hermes",
    "llama": "Llama 3",
    "mistral": "Mistral",
    "mistral-args": "Mistral, later",
}


def tool_tokenizer(family: str) -> Any:
    """The bundled tokenizer with a family's template and markers."""
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    template, markers = FAMILIES[family]
    tokenizer.add_tokens(markers)
    tokenizer.chat_template = template
    return tokenizer


def tool_model(tokenizer: Any) -> Any:
    """The bundled model with rows for a tokenizer's markers."""
    model = AutoModelForCausalLM.from_pretrained(model_path(), dtype="float32")
    torch.manual_seed(0)
    if len(tokenizer) > model.config.vocab_size:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return model.eval()

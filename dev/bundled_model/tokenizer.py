"""The bundled model's tokenizer: byte-level BPE with single digits, and a chat template."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from dev.bundled_model.examples import judging_example, solving_example

END_OF_TURN = "<|im_end|>"
START_OF_TURN = "<|im_start|>"
END_OF_TEXT = "<|endoftext|>"
VOCABULARY_SIZE = 1024
_WORDS = r" ?\d| ?\p{L}+| ?[^\s\p{L}\d]+|\s+(?!\S)|\s+"

CHAT_TEMPLATE = """\
{%- macro kind(schema) -%}
{%- if schema['type'] is string -%}{{- schema['type'] -}}
{%- elif schema['type'] -%}{{- schema['type'] | join(' or ') -}}
{%- elif schema['anyOf'] -%}{{- schema['anyOf'] | map(attribute='type') | select | join(' or ') -}}
{%- else -%}any{%- endif -%}
{%- endmacro -%}
{%- macro listed(tools) -%}
{{- 'Tools:' -}}
{%- for tool in tools -%}
{%- set function = tool['function'] or tool -%}
{{- '\\n' + function['name'] + '(' -}}
{%- for name, schema in ((function['parameters'] or {})['properties'] or {}).items() -%}
{{- name + ': ' + kind(schema) + ('' if loop.last else ', ') -}}
{%- endfor -%}
{{- ')' -}}
{%- if function['description'] -%}
{{- ' - ' + function['description'].strip().split('\\n')[0][:60] -}}
{%- endif -%}
{%- endfor -%}
{%- endmacro -%}
{%- if tools and messages[0]['role'] != 'system' -%}
{{- '<|im_start|>system\\n' + listed(tools) + '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] not in ['system', 'user', 'assistant', 'tool'] -%}
{{- raise_exception('Unknown role: ' + message['role']) -}}
{%- endif -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['tool_calls'] -%}
{%- if message['content'] -%}{{- message['content'] + '\\n' -}}{%- endif -%}
{%- for tool_call in message['tool_calls'] -%}
{%- set call = tool_call['function'] or tool_call -%}
{{- '<tool_call>\\n{"name": ' + call['name'] | tojson + ', "arguments": ' -}}
{{- call['arguments'] if call['arguments'] is string else call['arguments'] | tojson -}}
{{- '}\\n</tool_call>' + ('' if loop.last else '\\n') -}}
{%- endfor -%}
{%- else -%}
{{- message['content'] -}}
{%- endif -%}
{%- if tools and loop.first and message['role'] == 'system' -%}
{{- '\\n\\n' + listed(tools) -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def _texts(seed: int, count: int) -> Iterable[str]:
    rng = Random(f"tokenizer-{seed}")
    for _ in range(count):
        for example in (solving_example(rng), judging_example(rng)):
            yield example.prompt
            yield example.reply
    yield from ("system\n", "user\n", "assistant\n", "tool\n", " True", " False")


def build_tokenizer(seed: int = 0, count: int = 20_000) -> PreTrainedTokenizerFast:
    """Train the tokenizer on texts of the world; any text in any script goes in and comes out."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[END_OF_TEXT, START_OF_TURN, END_OF_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed, count), trainer)
    return _wrapped(tokenizer)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Read a folder's vocabulary; the chat template is this module's own."""
    return _wrapped(Tokenizer.from_file(str(folder / "tokenizer.json")))


def _wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Any], tools: Sequence[Any] = ()
) -> str:
    """Render a talk, and the tools on offer, up to where the reply begins."""
    rendered: Any = tokenizer.apply_chat_template(
        list(messages), tools=list(tools) or None, add_generation_prompt=True, tokenize=False
    )
    return rendered


def user_prompt(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Render one user message, up to where the reply begins."""
    return render(tokenizer, [{"role": "user", "content": text}])

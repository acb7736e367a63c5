r"""How a byte-level vocabulary's texts are cut into words before they are merged.

A GGUF file names the rule (``tokenizer.ggml.pre``) without saying what it is. These are the rules
of llama.cpp for those names; tests compare the ids. Where it strays from a model's first tokenizer
(``tekken`` and ``gpt-4o`` tell upper case from lower in ASCII only), so do these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class PreTokenizer:
    """One rule.

    Attributes:
        patterns: Regular expressions; each cuts what the one before has left together.
        whole_words: Whether a word that is a token stays one, whatever the merges say.
        begins: Whether a text begins with the BOS token where the file does not say.
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    begins: bool = False


_SHORT = r"'(?:[sSdDmMtT]|[rR][eE]|[vV][eE]|[lL][lL])"  # he's, they're
_LINES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_PUNCTUATED = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""

_GPT2 = r"'(?:[sdmt]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_HAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"


def _words(digits: str, marks: str = _MARKS) -> str:
    return rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}|{marks}|{_LINES}"


def _cased(digits: str, ending: str) -> str:
    upper, lower = r"(?:(?=\p{L})[^a-z])", r"(?:(?=\p{L})[^A-Z])"
    begin = r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"{begin}{upper}*{lower}+{ending}|{begin}{upper}+{lower}*{ending}|{digits}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_LINES}"
    )


_THREE, _ONE = r"\p{N}{1,3}", r"\p{N}"
_LLAMA_3 = PreTokenizer((_words(_THREE),))
_QWEN_2 = PreTokenizer((_words(_ONE),))
_DIGITS_APART = PreTokenizer((_ONE, _GPT2))
_PLAIN = PreTokenizer((_GPT2,))
_GPT_4O = PreTokenizer((_cased(_THREE, f"(?:{_SHORT})?"),))
_DEEPSEEK_3 = PreTokenizer(
    (
        _THREE,
        _KANA,
        rf"{_PUNCTUATED}|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
        rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_LINES}",
    )
)
_FIRST = PreTokenizer((_words(_THREE),), whole_words=True, begins=True)

PRE_TOKENIZERS: Mapping[str, PreTokenizer] = MappingProxyType(
    {
        **dict.fromkeys(
            ("llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral", "midm-2.0"), _FIRST
        ),
        **dict.fromkeys(("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"), _LLAMA_3),
        **dict.fromkeys(
            (
                "qwen2",
                "deepseek-r1-qwen",
                "kormo",
                "megrez",
                "stablelm2",
                "hunyuan",
                "grok-2",
                "bailingmoe",
                "bailingmoe2",
            ),
            _QWEN_2,
        ),
        **dict.fromkeys(
            ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"),
            _DIGITS_APART,
        ),
        **dict.fromkeys(
            (
                *("gpt-2", "phi-2", "mpt", "olmo", "jais", "gigachat", "a.x-4.0", "mellum"),
                *("trillion", "granite-docling", "exaone4"),
            ),
            _PLAIN,
        ),
        **dict.fromkeys(("gpt-4o", "llama4", "kanana2", "minimax-m2"), _GPT_4O),
        **dict.fromkeys(("deepseek-v3", "hunyuan-dense"), _DEEPSEEK_3),
        "tekken": PreTokenizer((_cased(_ONE, ""),), whole_words=True, begins=True),
        "seed-coder": PreTokenizer((_words(_ONE, marks=r" ?[^\s\p{L}\p{N}\r\n]+"),)),
        "deepseek-coder": PreTokenizer((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _HAN, _ONE)),
        "falcon": PreTokenizer((r"[\p{P}$+<=>^~|`]+", _GPT2, "[0-9][0-9][0-9]")),
        "default": PreTokenizer((r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    }
)

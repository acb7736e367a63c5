"""The tokenizer that a GGUF file describes, as transformers has it.

transformers' own reading of these files takes seconds, and cuts words as one model of an
architecture does. This follows the file, as llama.cpp does, so that both give the same ids.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from latent_agent.errors import ModelError
from latent_agent.model.gguf.header import Header
from latent_agent.model.gguf.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

HUGGING_FACE = "tokenizer.huggingface.json"
CONFIG = "latent_agent.tokenizer_config"
TOKENS = "tokenizer.ggml.tokens"
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4  # types of a token
_BYTE_LEVEL, _SENTENCEPIECE = "gpt2", "llama"  # tokenizer.ggml.model
_SPACE = "\u2581"  # how SentencePiece writes a space
_NAMES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
_SENTENCEPIECE_IDS = {"bos": 1, "eos": 2, "unk": 0}  # where a file does not say


def token_texts(header: Header) -> list[str]:
    """Return the tokens' texts in the order of their ids; llama.cpp names empty ones so."""
    return [text or f"[EMPTY_{id_}]" for id_, text in enumerate(header.array(TOKENS))]


def build_tokenizer(header: Header, stops: frozenset[int]) -> "PreTrainedTokenizerFast":
    """Build a file's tokenizer, with its chat template.

    Args:
        header: Holds the tokens.
        stops: Ids that end an answer; they are special whatever type the file gives them.

    Raises:
        ModelError: If the file holds no tokenizer of a known kind.
    """
    from transformers import PreTrainedTokenizerFast

    texts = token_texts(header)
    whole = header.values.get(HUGGING_FACE)
    try:
        backend = _from_json(whole) if whole else _from_tokens(header, texts, stops)
        given: dict[str, Any] = json.loads(header.values.get(CONFIG, "{}"))
    except ModelError:
        raise
    except Exception as error:  # tokenizers raises nothing narrower
        raise ModelError(
            f"a GGUF file must hold a tokenizer that can be read, got one in {str(header.path)!r} "
            f"that cannot ({error}); convert the model again, or pass tokenizer='folder or id'"
        ) from error
    special = {
        f"{name}_token": texts[id_]
        for name in _NAMES
        if (id_ := _special_id(header, name)) is not None and 0 <= id_ < len(texts)
    }
    window = header.values.get(f"{header.values.get('general.architecture')}.context_length")
    settings: dict[str, Any] = {
        "clean_up_tokenization_spaces": False,
        "chat_template": chat_template(header),
        **({"model_max_length": window} if window else {}),
        **special,
        **given,
    }
    return PreTrainedTokenizerFast(tokenizer_object=backend, **settings)


def chat_template(header: Header) -> str | dict[str, str] | None:
    """Return the chat template, by name where there are several, or None."""
    prefix = "tokenizer.chat_template"
    default: str | None = header.values.get(prefix)
    named = {
        key.removeprefix(f"{prefix}."): text
        for key, text in header.values.items()
        if key.startswith(f"{prefix}.")
    }
    if not named:
        return default
    return named if default is None else {"default": default, **named}


def _from_json(text: str) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(text)


def _from_tokens(header: Header, texts: Sequence[str], stops: frozenset[int]) -> Any:
    from tokenizers import AddedToken, processors

    model = header.values.get("tokenizer.ggml.model")
    vocabulary = {text: id_ for id_, text in enumerate(texts)}
    if model == _BYTE_LEVEL:
        rule = _rule(header)
        backend, begins = _byte_level(header, vocabulary, rule), rule.begins
    elif model == _SENTENCEPIECE:
        backend, begins = _sentencepiece(header, vocabulary), True
    else:
        _refuse(header, "a vocabulary of kind 'gpt2' (BPE) or 'llama' (SentencePiece)", model)
    types = header.array("tokenizer.ggml.token_type")
    strips = "phi-3" in (name := str(header.values.get("general.name")).lower()) or "phi3" in name
    for id_, text in enumerate(texts):
        kind = types[id_] if id_ < len(types) else None
        special = kind in (_UNKNOWN, _CONTROL) or id_ in stops
        if special or kind == _USER_DEFINED:
            strip = strips and text not in ("<unk>", "<s>", "<|endoftext|>")
            token = AddedToken(text, special=special, normalized=False, rstrip=strip)
            (backend.add_special_tokens if special else backend.add_tokens)([token])
    bos = _special_id(header, "bos")
    if header.values.get("tokenizer.ggml.add_bos_token", begins) and bos is not None:
        first = texts[bos]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A $B", special_tokens=[(first, bos)]
        )
    return backend


def _special_id(header: Header, name: str) -> int | None:
    found: int | None = header.values.get(f"tokenizer.ggml.{_NAMES[name]}_token_id")
    if found is None and header.values.get("tokenizer.ggml.model") == _SENTENCEPIECE:
        return _SENTENCEPIECE_IDS.get(name)
    return found


def _rule(header: Header) -> PreTokenizer:
    name = header.values.get("tokenizer.ggml.pre", "default")
    if name not in PRE_TOKENIZERS:
        _refuse(header, "words cut by a known rule (tokenizer.ggml.pre)", name)
    return PRE_TOKENIZERS[name]


def _refuse(header: Header, rule: str, value: object) -> NoReturn:
    raise ModelError(
        f"a GGUF file's tokenizer must have {rule}, got {value!r} in {str(header.path)!r}; pass "
        "tokenizer='folder or id' of the model that the file was made from"
    )


def _byte_level(header: Header, vocabulary: Mapping[str, int], rule: PreTokenizer) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    split = (merge.partition(" ") for merge in header.array("tokenizer.ggml.merges"))
    merges = [
        (left, right)
        for left, _, right in split
        if left in vocabulary and right in vocabulary and left + right in vocabulary
    ]
    backend: Any = Tokenizer(
        models.BPE(vocab=dict(vocabulary), merges=merges, ignore_merges=rule.whole_words)
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in rule.patterns),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return backend


def _sentencepiece(header: Header, vocabulary: Mapping[str, int]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores = header.array("tokenizer.ggml.scores")
    if len(scores) < len(vocabulary):
        _refuse(header, f"a score for each of {len(vocabulary)} tokens", len(scores))
    backend: Any = Tokenizer(
        models.BPE(
            vocab=dict(vocabulary),
            merges=_merges_by_score(vocabulary, scores),
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    prefix: bool = header.values.get("tokenizer.ggml.add_space_prefix", True)
    spaces = normalizers.Replace(" ", _SPACE)
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend(_SPACE), spaces] if prefix else [spaces]
    )
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return backend


def _merges_by_score(
    vocabulary: Mapping[str, int], scores: Sequence[float]
) -> list[tuple[str, str]]:
    """Return all pairs of tokens that make a token, those of the best one first."""
    pairs = [
        (-scores[id_], id_, text[:cut], text[cut:])
        for text, id_ in vocabulary.items()
        for cut in range(1, len(text))
        if text[:cut] in vocabulary and text[cut:] in vocabulary
    ]
    return [(left, right) for _, _, left, right in sorted(pairs)]

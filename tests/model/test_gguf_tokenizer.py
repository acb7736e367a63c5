"""A GGUF file's tokenizer gives the ids that llama.cpp gives."""

from pathlib import Path
from typing import Any

import pytest

from latent_agent.errors import ModelError
from latent_agent.model.gguf.file import GgufFile
from latent_agent.model.gguf.pre_tokenizers import PRE_TOKENIZERS
from latent_agent.model.prompt import encode_text
from tests.support.gguf_files import byte_level, sentencepiece, write_gguf
from tests.support.texts import TRICKY

ROOT = Path(__file__).parents[2]
LINES = [
    *(ROOT / "docs/method.md").read_text("utf-8").splitlines(keepends=True),
    *(ROOT / "latent_agent/model/prompt.py").read_text("utf-8").splitlines(keepends=True),
    *(3 * TRICKY),
]
SPECIAL = "<|im_start|>user\nHi  <think> it's 42!\n\n<|im_end|>\n <|im_end|>"


def written(path: Path, metadata: dict[str, Any]) -> GgufFile:
    return GgufFile(write_gguf(path, "llama", metadata))


@pytest.fixture(scope="module")
def byte_words() -> dict[str, Any]:
    return byte_level(LINES, "gpt-2")


@pytest.fixture(scope="module")
def piece_words() -> dict[str, Any]:
    return sentencepiece(LINES)


def assert_same_ids(file: GgufFile, *, begin: bool) -> None:
    from tests.support.llama_cpp_reads import Vocabulary

    with Vocabulary(file.path) as theirs:
        for text in (*TRICKY, *LINES, SPECIAL):
            for added in (False, True):
                ours = file.tokenizer.encode(text, add_special_tokens=added)
                assert ours == theirs.encode(text, begin=added and begin), text
        assert theirs.stops == file.stop_ids
        added = file.tokenizer.added_tokens_decoder.items()
        assert theirs.control <= {id_ for id_, token in added if token.special}


@pytest.mark.parametrize("rule", PRE_TOKENIZERS)
def test_byte_level_ids_are_llama_cpps(
    tmp_path: Path, byte_words: dict[str, Any], rule: str
) -> None:
    metadata = {**byte_words, "tokenizer.ggml.pre": rule}
    assert_same_ids(written(tmp_path / "m.gguf", metadata), begin=False)


def test_rules_matter_for_these_texts(tmp_path: Path, byte_words: dict[str, Any]) -> None:
    """Otherwise the comparison above would say little."""
    seen: dict[tuple[int, ...], list[str]] = {}
    distinct = {rule.patterns: name for name, rule in PRE_TOKENIZERS.items()}
    for name in distinct.values():
        metadata = {**byte_words, "tokenizer.ggml.pre": name}
        tokenizer = written(tmp_path / f"{name}.gguf", metadata).tokenizer
        ids = tokenizer.encode("".join(LINES), add_special_tokens=False)
        seen.setdefault(tuple(ids), []).append(name)
    assert len(distinct) > 10
    assert [names for names in seen.values() if len(names) > 1] == []


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_ids_are_llama_cpps(
    tmp_path: Path, piece_words: dict[str, Any], prefix: bool
) -> None:
    metadata = {**piece_words, "tokenizer.ggml.add_space_prefix": prefix}
    file = written(tmp_path / "m.gguf", metadata)
    assert_same_ids(file, begin=True)
    assert file.tokenizer.special_tokens_map == {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
    }  # fmt: skip


def test_ids_become_the_text_again(
    tmp_path: Path, byte_words: dict[str, Any], piece_words: dict[str, Any]
) -> None:
    for name, metadata in (("b", byte_words), ("s", piece_words)):
        tokenizer = written(tmp_path / f"{name}.gguf", metadata).tokenizer
        for text in TRICKY:
            ids = tokenizer.encode(text, add_special_tokens=False)
            assert tokenizer.decode(ids) == text


def test_special_tokens_in_a_message_are_plain_text(
    tmp_path: Path, byte_words: dict[str, Any]
) -> None:
    file = written(tmp_path / "m.gguf", byte_words)
    added = set(file.tokenizer.added_tokens_decoder)
    assert added & set(file.tokenizer.encode(SPECIAL))
    ids = encode_text(file.tokenizer, SPECIAL)
    assert not added & set(ids)
    assert file.tokenizer.decode(ids) == SPECIAL


def test_user_defined_tokens_are_shown_and_special_ones_are_not(
    tmp_path: Path, byte_words: dict[str, Any]
) -> None:
    tokenizer = written(tmp_path / "m.gguf", byte_words).tokenizer
    ids = tokenizer.encode(SPECIAL)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "user\nHi  <think> it's 42!\n\n\n "


def test_phi_3_swallows_the_space_behind_its_special_tokens(
    tmp_path: Path, piece_words: dict[str, Any]
) -> None:
    metadata = {**piece_words, "general.name": "Phi-3 mini"}
    tokens = [t if t != "<b>" else "<|endoftext|>" for t in piece_words["tokenizer.ggml.tokens"]]
    file = written(tmp_path / "m.gguf", {**metadata, "tokenizer.ggml.tokens": tokens})
    assert_same_ids(file, begin=True)
    from tests.support.llama_cpp_reads import Vocabulary

    text = "<start>  a<s> b<|endoftext|> c"
    with Vocabulary(file.path) as theirs:
        assert file.tokenizer.encode(text, add_special_tokens=False) == theirs.encode(text)


def test_the_bundled_models_tokenizer_travels_whole(bundled_gguf: Path, bundled: Any) -> None:
    ours, folders = GgufFile(bundled_gguf).tokenizer, bundled.tokenizer
    assert ours.backend_tokenizer.to_str() == folders.backend_tokenizer.to_str()
    assert ours.chat_template == folders.chat_template
    assert ours.special_tokens_map == folders.special_tokens_map
    assert ours.model_max_length == folders.model_max_length


def test_templates_by_name_are_read(tmp_path: Path, byte_words: dict[str, Any]) -> None:
    plain = {**byte_words, "tokenizer.chat_template": "plain"}
    named = {**plain, "tokenizer.chat_template.tool_use": "tools"}
    assert written(tmp_path / "none.gguf", byte_words).tokenizer.chat_template is None
    assert written(tmp_path / "p.gguf", plain).tokenizer.chat_template == "plain"
    template = written(tmp_path / "n.gguf", named).tokenizer.chat_template
    assert template == {"default": "plain", "tool_use": "tools"}


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"model": "rwkv"}, r"kind 'gpt2' \(BPE\) or .*, got 'rwkv' in .*; pass tokenizer="),
        ({"pre": "frobnicate"}, r"known rule .*, got 'frobnicate' in .*; pass tokenizer="),
        ({"model": "llama"}, r"a score for each of \d+ tokens, got 0 in .*; pass tokenizer="),
    ],
)
def test_an_unknown_tokenizer_is_told(
    tmp_path: Path, byte_words: dict[str, Any], changed: dict[str, str], match: str
) -> None:
    metadata = {**byte_words, **{f"tokenizer.ggml.{key}": text for key, text in changed.items()}}
    with pytest.raises(ModelError, match=match):
        _ = written(tmp_path / "m.gguf", metadata).tokenizer


def test_a_broken_tokenizer_is_told(tmp_path: Path, byte_words: dict[str, Any]) -> None:
    metadata = {**byte_words, "tokenizer.huggingface.json": "{"}
    with pytest.raises(ModelError, match=r"tokenizer that can be read, .*; convert .* or pass"):
        _ = written(tmp_path / "m.gguf", metadata).tokenizer

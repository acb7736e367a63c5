"""GGUF files of real models: the ids of llama.cpp, and its logits from our head."""

import os
from pathlib import Path

import pytest
import torch

from latent_agent.model.gguf.file import GgufFile
from latent_agent.model.gguf.find import find, is_gguf
from tests.support.texts import TRICKY

MODEL = os.environ.get("LATENT_AGENT_REAL_MODEL", "")
ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not is_gguf(MODEL), reason="LATENT_AGENT_REAL_MODEL names no GGUF file"),
]


@pytest.fixture(scope="module")
def file() -> GgufFile:
    return find(MODEL)


def texts() -> list[str]:
    """A few hundred: prose, code, numbers, and what tokenizers disagree about."""
    pages = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("latent_agent/model/*.py")]
    whole = [page.read_text("utf-8") for page in pages]
    parts = [part for text in whole for part in text.split("\n\n")]
    return [*TRICKY, *whole, *parts]


def test_it_can_be_searched(file: GgufFile) -> None:
    file.check()
    assert file.stop_ids
    assert file.chat_template


def test_ids_and_stops_are_llama_cpps(file: GgufFile) -> None:
    from tests.support.llama_cpp_reads import Vocabulary

    special = "".join(str(token) for token in file.tokenizer.added_tokens_decoder.values())
    given = [*texts(), special, f"a {special} b"]
    assert len(given) > 300
    with Vocabulary(file.path) as theirs:
        for text in given:
            ours = file.tokenizer.encode(text, add_special_tokens=False, verbose=False)
            assert ours == theirs.encode(text)
            assert file.tokenizer.decode(ours) == text
        assert theirs.stops == file.stop_ids


def test_the_head_gives_llama_cpps_logits(file: GgufFile) -> None:
    from tests.support.llama_cpp_reads import forward

    ids = file.tokenizer.encode("The capital of France is", add_special_tokens=False)
    logits, latents = (torch.from_numpy(found) for found in forward(file.path, ids))
    head = file.head(torch.float32)
    scores = latents @ head.weight.T * head.scale
    assert torch.equal(scores.argmax(-1), logits.argmax(-1))
    # llama.cpp rounds the latents to eight bits before it multiplies by quantised weights.
    assert (scores - logits).abs().max() < 0.03 * logits.abs().max()

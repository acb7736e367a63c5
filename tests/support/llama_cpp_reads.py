"""What llama.cpp itself makes of a GGUF file: ids, stops, logits, latents."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

llama: Any = pytest.importorskip("llama_cpp.llama_cpp")

# Never collected: llama.cpp calls it for as long as the process runs.
_SILENT = llama.llama_log_callback(lambda *_: None)
llama.llama_log_set(_SILENT, ctypes.c_void_p(0))
llama.llama_backend_init()


class Vocabulary:
    """A file's tokens, without its weights."""

    def __init__(self, path: Path) -> None:
        settings = llama.llama_model_default_params()
        settings.vocab_only = True
        self._model = llama.llama_model_load_from_file(str(path).encode(), settings)
        assert self._model, f"llama.cpp cannot read {path}"
        self._tokens = llama.llama_model_get_vocab(self._model)

    def __enter__(self) -> "Vocabulary":
        return self

    def __exit__(self, *_: object) -> None:
        llama.llama_model_free(self._model)

    def encode(self, text: str, *, begin: bool = False) -> list[int]:
        written = text.encode()
        room = len(written) + 8
        ids = (llama.llama_token * room)()
        count = llama.llama_tokenize(self._tokens, written, len(written), ids, room, begin, True)
        return list(ids[:count])

    def _where(self, holds: Any) -> set[int]:
        return {id_ for id_ in range(len(self)) if holds(self._tokens, id_)}

    def __len__(self) -> int:
        return llama.llama_vocab_n_tokens(self._tokens)

    @property
    def stops(self) -> set[int]:
        return self._where(llama.llama_vocab_is_eog)

    @property
    def control(self) -> set[int]:
        return self._where(llama.llama_vocab_is_control)


def forward(path: Path, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Run ids; return logits (length, vocabulary) and latents (length, d)."""
    model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
    assert model, f"llama.cpp cannot load {path}"
    settings = llama.llama_context_default_params()
    settings.n_ctx, settings.n_threads, settings.n_threads_batch = 64, 1, 1
    settings.pooling_type, settings.embeddings, settings.flash_attn_type = 0, True, 0
    settings.type_k = settings.type_v = 0  # float32
    context = llama.llama_init_from_model(model, settings)
    batch = llama.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for place, id_ in enumerate(ids):
        batch.token[place], batch.pos[place], batch.logits[place] = id_, place, True
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
    assert llama.llama_decode(context, batch) == 0
    words = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    width = llama.llama_model_n_embd(model)

    def rows(read: Any, size: int) -> np.ndarray:
        found = [np.ctypeslib.as_array(read(context, at), (size,)) for at in range(len(ids))]
        return np.stack(found)

    logits = rows(llama.llama_get_logits_ith, words)
    latents = rows(llama.llama_get_embeddings_ith, width)
    llama.llama_batch_free(batch)
    llama.llama_free(context)
    llama.llama_model_free(model)
    return logits, latents

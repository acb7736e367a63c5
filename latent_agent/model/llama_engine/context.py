"""One llama.cpp context: tokens in, latents and logits out, cells that sequences share."""

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from latent_agent.errors import ModelError
from latent_agent.model.llama_engine.library import last_words, library
from latent_agent.model.open_answer import PassOutput

READ_AT_ONCE = 512  # tokens of a prompt in one pass
_FULL, _HALF = 0, 1  # GGML_TYPE_F32, GGML_TYPE_F16
_NO_POOLING = 0
_INVALID = -1  # what llama_decode says of a batch that it does not take
_AUTO, _NEVER = -1, 0  # LLAMA_FLASH_ATTN_TYPE


class Token(NamedTuple):
    """A token in a pass: its id, the sequence and the place there, and whether output is wanted."""

    id: int
    sequence: int
    position: int
    output: bool = False


class Context:
    """What holds keys and values; for one thread at a time.

    Args:
        model: llama.cpp's model.
        cells: Positions that all sequences share.
        sequences: How many there may be.
        threads: Threads of the CPU that compute.
        exact: All in float32: keys, values and attention.

    Raises:
        ModelError: If there is no memory for it.
    """

    def __init__(
        self, model: Any, *, cells: int, sequences: int, threads: int, exact: bool
    ) -> None:
        self._llama = llama = library()
        given = llama.llama_context_default_params()
        given.n_ctx = max(cells, READ_AT_ONCE)  # or llama.cpp would take shorter batches
        given.n_seq_max = given.n_outputs_max = sequences
        given.n_batch = given.n_ubatch = READ_AT_ONCE
        given.n_threads = given.n_threads_batch = threads
        given.pooling_type, given.kv_unified = _NO_POOLING, True
        given.type_k = given.type_v = _FULL if exact else _HALF
        given.flash_attn_type = _NEVER if exact else _AUTO  # it sums in half precision
        self._context = llama.llama_init_from_model(model, given)
        if not self._context:
            raise ModelError(
                f"keys and values of {cells} positions must fit the memory, but llama.cpp could "
                f"make no context for them ({' '.join(last_words())}); lower n_ctx"
            )
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(READ_AT_ONCE, 0, 1)
        self._shape = (
            llama.llama_model_n_embd(model),
            llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model)),
        )
        self._slides: int = llama.llama_model_n_swa(model)
        self.cells: int = llama.llama_n_ctx(self._context)

    def close(self) -> None:
        """Free the memory."""
        if self._context:
            self._llama.llama_batch_free(self._batch)
            self._llama.llama_free(self._context)
            self._context = None

    def read(self, tokens: Sequence[Token], *, latents: bool) -> PassOutput:
        """Read tokens; return latents and logits of those whose output is wanted.

        With ``latents`` each token must want its output; without, there are none.

        Raises:
            ModelError: If llama.cpp refuses; the sequences hold what they held before.
        """
        self._llama.llama_set_embeddings(self._context, latents)
        parts: list[PassOutput] = []
        try:
            for first in range(0, len(tokens), READ_AT_ONCE):
                parts.append(self._pass(tokens[first : first + READ_AT_ONCE], latents=latents))
        except BaseException:  # an interrupt too: a pass that is repeated must find what was
            for token in tokens:
                self.cut(token.sequence, token.position)
            raise
        found, logits = zip(*parts, strict=True)
        return torch.cat(found), torch.cat(logits)

    def _pass(self, tokens: Sequence[Token], *, latents: bool) -> PassOutput:
        self._decode(tokens)
        width, vocabulary = self._shape
        places = [place for place, token in enumerate(tokens) if token.output]
        logits = self._rows(self._llama.llama_get_logits_ith, places, vocabulary)
        if not latents:
            return torch.empty(len(places), 0), logits
        return self._rows(self._llama.llama_get_embeddings_ith, places, width), logits

    def _decode(self, tokens: Sequence[Token]) -> None:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for place, token in enumerate(tokens):
            batch.token[place], batch.pos[place] = token.id, token.position
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, token.sequence
            batch.logits[place] = token.output
        refused = self._llama.llama_decode(self._context, batch)
        if refused == _INVALID:
            ids = [token.id for token in tokens]
            raise ModelError(
                f"llama.cpp must know all tokens of a prompt, got ids {min(ids)} to {max(ids)}, of "
                f"which it refuses some; take the file's own tokenizer (it knows {self._shape[1]})"
            )
        if refused:
            raise ModelError(
                f"llama.cpp must find room for each pass, but refused one of {len(tokens)} tokens "
                f"with code {refused} ({' '.join(last_words())}); raise n_ctx, or ask fewer "
                "questions at once"
            )

    def _rows(self, get: Any, places: Sequence[int], length: int) -> torch.Tensor:
        rows = np.empty((len(places), length), np.float32)
        for row, place in enumerate(places):
            found = get(self._context, place)
            if not found:
                raise ModelError(
                    f"llama.cpp must give what follows each token, got nothing for place {place}; "
                    "update it (pip install -U llama-cpp-python)"
                )
            ctypes.memmove(rows[row].ctypes.data, found, rows.itemsize * length)
        return torch.from_numpy(rows)

    def cut(self, sequence: int, length: int) -> None:
        """Let a sequence hold no more than its first positions."""
        self._llama.llama_memory_seq_rm(self._memory, sequence, length, -1)

    def can_go_back(self, sequence: int, length: int) -> bool:
        """Whether a sequence still holds all that its first positions look at.

        Where attention slides, llama.cpp gives cells to others once a window has left them.
        """
        if self._slides == 0:
            return True
        first = self._llama.llama_memory_seq_pos_min(self._memory, sequence)
        return first <= max(0, length - self._slides)

    def share(self, source: int, target: int, length: int) -> None:
        """Let a sequence hold the first positions of another; they take no further cells."""
        self._llama.llama_memory_seq_cp(self._memory, source, target, 0, length)

"""A GGUF file run by llama.cpp as an engine."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import finalize

import torch

from latent_agent.errors import ModelError
from latent_agent.model.batch_scheduler import BatchScheduler
from latent_agent.model.budget import Budget
from latent_agent.model.cores import cores
from latent_agent.model.gguf.file import GgufFile
from latent_agent.model.llama_engine.cells import Cells
from latent_agent.model.llama_engine.context import Context, Token
from latent_agent.model.llama_engine.library import last_words, library
from latent_agent.model.llama_engine.passes import LlamaPasses
from latent_agent.model.llama_engine.sequence import ContextEngine, LlamaSequence
from latent_agent.model.lm_head import LMHead
from latent_agent.model.options import LoadOptions
from latent_agent.model.threads import threads_for
from latent_memory.fork_renewal import ForkSafeLock

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_SEQUENCES = 64  # that share a context: two a call, and the rows that it writes at once
_KEPT = 256 << 20  # bytes of keys and values, where one window does not take more
_EXACT = 1e-3  # gap between our head's logits and llama.cpp's, as a share of the largest
_ROUGH = 0.05  # the same for a quantised head, which llama.cpp multiplies by rounded latents


class LlamaEngine(ContextEngine):
    """A GGUF file in llama.cpp, with the tokenizer that the file describes.

    Args:
        file: The file, which was checked.
        tokenizer: The tokenizer.
        window: How many positions a prompt and its answer may take.
        options: Threads, and layers on a GPU.

    Raises:
        ModelError: If llama.cpp cannot run it, or it cannot go back to an earlier position.
    """

    name = "llama.cpp"
    capabilities = frozenset()
    device = torch.device("cpu")
    place, survives_fork = "llama.cpp's threads", False
    good_width = 4  # docs/speed.md says how it was measured

    def __init__(
        self,
        file: GgufFile,
        tokenizer: "PreTrainedTokenizerBase",
        window: int,
        options: LoadOptions,
    ) -> None:
        llama = library()
        self._file, self.tokenizer = file, tokenizer
        self.stop_ids, self.context_window = file.stop_ids, window
        self.threads = threads_for(options.threads, file.size) or cores()
        model = _load(file, options)
        freed = finalize(self, llama.llama_model_free, model)
        freed.atexit = False  # a thread may still compute then
        if llama.llama_model_is_recurrent(model) or llama.llama_model_is_hybrid(model):
            freed()
            raise ModelError(
                "a model must be able to go back to an earlier position, but the recurrent "
                f"layers of {str(file.path)!r} cannot; choose one with attention alone"
            )
        self._exact = file.quantisation == "F32"
        bytes_each = _bytes_a_cell(file, model, 4 if self._exact else 2)
        self.context = Context(
            model,
            cells=max(window, min(_KEPT // bytes_each, window * _SEQUENCES // 2)),
            sequences=_SEQUENCES,
            threads=self.threads,
            exact=self._exact,
        )
        # Before the model: the last one made is called first.
        finalize(self, self.context.close).atexit = False
        self.scheduler = BatchScheduler(LlamaPasses(self.context), can_batch=True)
        self.cells = Cells(self.context, _SEQUENCES, self.scheduler.alone)
        self._lock, self._read_head = ForkSafeLock(), None
        self._probe = self._first_pass()

    @property
    def vocabulary(self) -> int:
        """How many logits the head makes."""
        return self._file.vocabulary

    @property
    def width(self) -> int:
        """How many numbers a latent has (d)."""
        return self._file.width

    def sequence(self, budget: Budget) -> LlamaSequence:
        """Return an empty sequence; it takes cells when it reads."""
        return LlamaSequence(self, budget)

    def embed(self, prompts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Return the mean of each prompt's token embeddings, (d,) float32.

        llama.cpp gives no states of early layers, and those of the last one cost a pass of the
        head for each token of the prompt.
        """
        return [self._file.embedding_rows(prompt).mean(0) for prompt in prompts]

    def logits(self, latents: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Turn latents (N, d) into logits (N, vocabulary); see `LMHead.logits`."""
        return self._head.logits(latents, tokens)

    def pull_back(self, latents: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Turn a gradient (N, vocabulary) of logits into one of latents, (N, d); see `LMHead`."""
        return self._head.pull_back(latents, gradient)

    @property
    def _head(self) -> LMHead:
        """The head, unpacked when a search first needs it.

        Raises:
            ModelError: If it does not turn latents into llama.cpp's own logits.
        """
        with self._lock:
            if self._read_head is None:
                weights = self._file.head()
                head = LMHead(weights, weights.scale, weights.soft_cap)
                latents, theirs = self._probe
                gap = (head.logits(latents) - theirs).abs().max().item()
                rough = _EXACT if self._exact else _ROUGH
                if not gap <= rough * (1 + theirs.abs().max().item()):
                    raise ModelError(
                        "the head must turn llama.cpp's latents into its own logits, but for "
                        f"architecture {self._file.architecture!r} they differ by {gap:.3g}; this "
                        "architecture is not supported yet, choose another model"
                    )
                self._read_head = head
            return self._read_head

    def _first_pass(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Read a few tokens: what llama.cpp makes of them is what our head is compared with."""
        tokens = [Token(place, 0, place, output=True) for place in range(3)]
        latents, logits = self.context.read(tokens, latents=True)
        self.context.cut(0, 0)
        if latents.shape != (3, self.width) or not bool(latents.isfinite().all()):
            raise ModelError(
                f"llama.cpp must give latents of {self.width} finite numbers, got "
                f"{tuple(latents.shape)} for {str(self._file.path)!r}; choose another file"
            )
        return latents, logits


def _load(file: GgufFile, options: LoadOptions) -> Any:
    llama = library()
    given = llama.llama_model_default_params()
    if options.n_gpu_layers is not None:
        given.n_gpu_layers = options.n_gpu_layers
    model = llama.llama_model_load_from_file(os.fsencode(file.path), given)
    if not model:
        raise ModelError(
            f"llama.cpp must be able to load the model, but could not load {str(file.path)!r} "
            f"({' '.join(last_words())}); update it (pip install -U llama-cpp-python), or choose "
            "another file"
        )
    return model


def _bytes_a_cell(file: GgufFile, model: Any, bytes_each: int) -> int:
    """Return how many bytes of keys and values one position takes."""
    llama, said = library(), file.header.values
    plain = llama.llama_model_n_embd(model) // max(1, llama.llama_model_n_head(model))
    widths = [
        said.get(f"{file.architecture}.attention.{kind}_length") or plain
        for kind in ("key", "value")
    ]
    key = f"{file.architecture}.attention.head_count_kv"
    each = max(file.header.array(key), default=0)  # where layers differ
    heads = said.get(key) or each or llama.llama_model_n_head(model)
    return max(1, llama.llama_model_n_layer(model) * heads * sum(widths) * bytes_each)

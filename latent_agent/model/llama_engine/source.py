"""Models in GGUF form that llama.cpp runs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from latent_agent.model.gguf.file import GgufFile
from latent_agent.model.gguf.find import find
from latent_agent.model.llama_engine.library import library
from latent_agent.model.options import LoadOptions
from latent_agent.model.source import ModelFacts, ModelSource

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from latent_agent.model.engine import Engine

_WINDOW = 8192  # positions, where the model knows more and nobody asks for them


class GgufSource(ModelSource):
    """A model in GGUF form.

    Args:
        place: As `find` takes it.
        tokenizer: A tokenizer, or where to load it from; None: the file's own.
        options: How it is opened.
    """

    embedding = "token-embedding-mean"

    def __init__(self, place: str, tokenizer: Any, options: LoadOptions) -> None:
        self._place, self._beside, self._options = place, tokenizer, options
        self._found: GgufFile | None = None

    @property
    def _file(self) -> GgufFile:
        if self._found is None:
            found = find(self._place)
            found.check()
            self._found = found
        return self._found

    def facts(self) -> ModelFacts:
        """Return what the file says; refuses what llama.cpp cannot run."""
        library()
        file, asked = self._file, self._options.n_ctx
        trained = file.context_length
        window = asked or min(trained or _WINDOW, _WINDOW)
        return ModelFacts(
            name=str(file.path),
            context_window=window if trained is None else min(window, trained),
            vocabulary=file.vocabulary,
            width=file.width,
        )

    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """Return the file's own tokenizer, or the one that was given."""
        if self._beside is None:
            return self._file.tokenizer
        from latent_agent.model.transformers_engine.loading import load_tokenizer

        return load_tokenizer(self._beside)

    def load(self, tokenizer: "PreTrainedTokenizerBase") -> "Engine":
        """Let llama.cpp open the file."""
        from latent_agent.model.llama_engine.engine import LlamaEngine

        window = self.facts().context_window
        assert window is not None
        return LlamaEngine(self._file, tokenizer, window, self._options)

    def precision(self) -> str:
        """Return how the file's weights are packed."""
        return self._file.quantisation

    def size(self) -> int:
        """Return how many bytes the files take."""
        return self._file.size

    def weights(self, engine: "Engine | None") -> str | None:  # noqa: ARG002 - the file says it
        """Return the file's hash, so that one quantisation never recalls another's latents."""
        return f"llama.cpp {self._file.weights_hash}"

    def judge_prompts(self) -> Mapping[str, Any] | None:
        """Return what the file says."""
        return self._file.judge_prompts

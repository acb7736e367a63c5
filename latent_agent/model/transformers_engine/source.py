"""Models that transformers runs: from the hub, a folder, or loaded already."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent_agent.errors import ModelError
from latent_agent.model.fingerprint import model_weights, weights_state
from latent_agent.model.options import LoadOptions
from latent_agent.model.places import location
from latent_agent.model.source import ModelFacts, ModelSource
from latent_agent.model.transformers_engine.from_pretrained import FromPretrained
from latent_agent.model.transformers_engine.loading import (
    check_causal,
    context_window,
    default_device,
    load_config,
    load_model,
    load_tokenizer,
    revision,
    weights_size,
)
from latent_agent.model.transformers_engine.precision import checkpoint_dtype, chosen_dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from latent_agent.model.engine import Engine

JUDGE_FILE = "judge.json"
_LONGEST = 1 << 20  # bytes of judge prompts


class TransformersSource(ModelSource):
    """What the two kinds share: a config."""

    embedding = "early-layer-mean"
    _threads: int | None = None

    @property
    def config(self) -> Any:
        """The model's config."""
        raise NotImplementedError

    def facts(self) -> ModelFacts:
        """Return what the config says."""
        text: Any = self.config.get_text_config()
        return ModelFacts(
            name=self.config.name_or_path,
            context_window=context_window(text),
            vocabulary=text.vocab_size,
            width=text.hidden_size,
        )

    def _model(self) -> "PreTrainedModel":
        raise NotImplementedError

    def load(self, tokenizer: "PreTrainedTokenizerBase") -> "Engine":
        """Read the weights."""
        from latent_agent.model.transformers_engine.engine import TransformersEngine

        return TransformersEngine(self._model(), tokenizer, self._threads)

    def weights(self, engine: "Engine | None") -> str | None:
        """Hash the loaded model's."""
        from latent_agent.model.transformers_engine.engine import TransformersEngine

        return model_weights(engine.model) if isinstance(engine, TransformersEngine) else None

    def judge_prompts(self) -> Mapping[str, Any] | None:
        """Return what the file in the model's folder says, if there is one."""
        folder: str = self.config.name_or_path
        path = Path(folder) / JUDGE_FILE
        if not folder or not path.is_file():
            return None
        try:
            if path.stat().st_size > _LONGEST:
                raise ValueError(f"it is longer than {_LONGEST} bytes")
            return dict(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ModelError(
                f"a model's {JUDGE_FILE} must be one JSON object, got {str(path)!r} ({error}); fix "
                "it, or delete it for the built-in prompts"
            ) from error


class NamedModel(TransformersSource):
    """A model by its Hugging Face id or folder.

    Args:
        name: ``bundled``, an id, or a folder.
        tokenizer: A tokenizer, or where to load it from; None: beside the model.
        options: How it is opened.

    Raises:
        ModelError: If an option is not what it must be.
    """

    def __init__(self, name: str, tokenizer: Any, options: LoadOptions) -> None:
        self._name, self._beside = name, tokenizer
        self._given, self._threads = FromPretrained(options), options.threads
        self._config: Any = None

    @property
    def config(self) -> Any:
        """The model's config, read once."""
        if self._config is None:
            self._config = load_config(self._name, self._given.everywhere)
        return self._config

    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """Read the tokenizer."""
        if self._beside is not None:
            return load_tokenizer(self._beside)
        return load_tokenizer(location(self._name), self._given.everywhere)

    @property
    def _dtype(self) -> str:
        checkpoint = checkpoint_dtype(self.config)
        return chosen_dtype(self._given.dtype, checkpoint, default_device(self._given))

    def precision(self) -> str:
        """Return the data type, and whether weights are quantised."""
        own = getattr(self.config, "quantization_config", None)
        quantised = own is not None or self._given.quantisation is not None
        return f"{self._dtype}, quantised" if quantised else self._dtype

    def size(self) -> int | None:
        """Return how many bytes the weights' files take, if they are on this disk."""
        return weights_size(self._name, self.config)

    def _model(self) -> "PreTrainedModel":
        return load_model(
            self._name, location(self._name), self._dtype, self._given, config=self.config
        )

    def weights(self, engine: "Engine | None") -> str | None:
        """Return the hub's revision or the files' hash, and else the loaded model's.

        Float32 goes without saying.
        """
        known = revision(self._name, self.config)
        if known is None:
            return super().weights(engine)
        precision = () if self._dtype == "float32" else (self._dtype,)
        return " ".join(filter(None, (known, *precision, self._given.changes)))


class LoadedModel(TransformersSource):
    """A model that was loaded already, and may be changed in place.

    Args:
        model: The model.
        tokenizer: Its tokenizer, or where to load it from; None: where the model came from.
        options: How many threads compute.

    Raises:
        ModelError: If it is no causal LM of transformers, or its tokenizer cannot be found.
    """

    def __init__(self, model: Any, tokenizer: Any, options: LoadOptions) -> None:
        from transformers import PreTrainedModel

        if not isinstance(model, PreTrainedModel):
            raise ModelError(
                "model must be a name, a folder or a loaded transformers model, got "
                f"{type(model).__name__}; for example model='bundled'"
            )
        check_causal(model.config, type(model).__name__)
        place = tokenizer or model.config.name_or_path
        if not place:
            raise ModelError(
                f"a loaded model needs its tokenizer, got tokenizer={tokenizer!r}; pass "
                "tokenizer=AutoTokenizer.from_pretrained(...) beside the model"
            )
        self._loaded, self._beside, self._threads = model, place, options.threads

    @property
    def config(self) -> Any:
        """The model's config."""
        return self._loaded.config

    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """Return the tokenizer."""
        return load_tokenizer(self._beside)

    def _model(self) -> "PreTrainedModel":
        return self._loaded

    def precision(self) -> str:
        """Return the data type."""
        return str(self._loaded.dtype).removeprefix("torch.")

    def state(self) -> object:
        """Return what shows that a weight was changed in place, or replaced."""
        return weights_state(self._loaded)

"""What a call's config adds to it: whose call it is, which run, and how many run at once.

LangChain hands no config to ``_generate`` and no run to ``_stream``. The namespace in
``config={"configurable": {"namespace": ...}}`` is passed on as a keyword, which also makes it part
of the cache key; so is the run, which is not.
"""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from langchain_core.callbacks import CallbackManager
from langchain_core.runnables.config import ensure_config

from latent_agent.chat.callbacks import ModelRun
from latent_agent.chat.memory_argument import shown_memory
from latent_agent.chat.threads import at_once

Method = TypeVar("Method", bound=Callable[..., Any])
Keywords = dict[str, Any]
Prepare = Callable[[Any, Any, Any, Keywords], tuple[Any, Keywords]]
"""Takes a Runnable, an input, a config and keywords; returns the config and keywords to use."""

_NO_PARAMETERS = ("run", "on_progress", "cancelled", "place")


def prepared(method: Method, prepare: Prepare) -> Method:
    """Return a Runnable's method whose config and keywords are prepared before each call."""

    @wraps(method)
    def call(self: Any, input: Any, config: Any = None, **given: Any) -> Any:
        config, given = prepare(self, input, config, given)
        return method(self, input, config, **given)

    @wraps(method)
    async def awaited(self: Any, input: Any, config: Any = None, **given: Any) -> Any:
        return await call(self, input, config, **given)

    return cast(Method, awaited if iscoroutinefunction(method) else call)


def with_namespace(_: Any, __: Any, config: Any, given: Keywords) -> tuple[Any, Keywords]:
    """Add the config's namespace to the keywords; one given by keyword wins."""
    configurable: Keywords = ensure_config(config).get("configurable") or {}
    if "namespace" in configurable:
        return config, {"namespace": configurable["namespace"], **given}
    return config, given


def with_run(model: Any, asked: Any, config: Any, given: Keywords) -> tuple[Any, Keywords]:
    """Add the namespace, and the run that the call will be."""
    config, given = with_namespace(model, asked, ensure_config(config), given)
    # Configured here, so that tracers which the environment or a context names are in it too.
    manager = CallbackManager.configure(config.get("callbacks"), model.callbacks)
    run = ModelRun(list(manager.handlers))
    manager.add_handler(run, inherit=False)
    return {**config, "callbacks": manager}, {**given, "run": run}


def many_at_once(model: Any, inputs: Any, config: Any, given: Keywords) -> tuple[Any, Keywords]:
    """Let the calls of a batch run together; ``max_concurrency`` in the config limits them."""
    return (at_once(config, len(inputs), model.max_calls) if inputs else None), given


def model_parameters(given: Keywords) -> Keywords:
    """Return a call's keywords without those that are no parameters of the model.

    They go into the cache key, to tracers and into logs: no password is in them.
    """
    shown = {"memory": shown_memory(given["memory"])} if given.get("memory") else {}
    return {name: value for name, value in given.items() if name not in _NO_PARAMETERS} | shown

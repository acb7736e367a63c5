"""A call's progress as LangChain sees it: custom events for handlers, child runs for tracers.

``stream`` and ``astream`` keep their run from ``_stream``, so a handler of ours learns its id.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, CallbackManager, Callbacks
from langchain_core.callbacks.manager import handle_event
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer


class ModelRun(BaseCallbackHandler):
    """The run of one call; as a listener it passes the call's progress on.

    Tracers know no custom events, so to them each event is a child run.
    """

    run_inline = True

    def __init__(self, handlers: Sequence[BaseCallbackHandler], run_id: UUID | None = None) -> None:
        self._tracers = [one for one in handlers if isinstance(one, (BaseTracer, AsyncBaseTracer))]
        self._others = [one for one in handlers if one not in self._tracers]
        self._id = run_id

    def on_chat_model_start(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Learn the run's id."""
        self._id = run_id

    def __call__(self, event: str, told: Mapping[str, Any]) -> None:
        """Pass an event on."""
        if self._id is None:
            return
        if self._others:
            handle_event(
                self._others, "on_custom_event", "ignore_custom_event", event, told, run_id=self._id
            )
        if self._tracers:
            manager = CallbackManager(list(self._tracers), parent_run_id=self._id)
            manager.on_chain_start({"name": event}, {}, name=event).on_chain_end(dict(told))


def with_run(
    config: RunnableConfig | None, own: Callbacks = None
) -> tuple[RunnableConfig, ModelRun]:
    """Return a config whose next run will be known, and that run; ``own`` are the model's."""
    given = ensure_config(config)
    # Configured here, so that tracers which the environment or a context names are in it too.
    manager = CallbackManager.configure(given.get("callbacks"), own)
    run = ModelRun(list(manager.handlers))
    manager.add_handler(run, inherit=False)
    return {**given, "callbacks": manager}, run

"""A call's progress as LangChain sees it: custom events for handlers, child runs for tracers.

``stream`` and ``astream`` keep their run from ``_stream``, so a handler of ours learns its id.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    BaseCallbackHandler,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.callbacks.manager import handle_event
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer

from latent_agent.call.progress import Progress

Stop = list[str] | None
SyncRun = CallbackManagerForLLMRun | None
AsyncRun = AsyncCallbackManagerForLLMRun | None


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

    @property
    def id(self) -> str | None:
        """The run's id, once it has begun."""
        return None if self._id is None else str(self._id)

    def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        """Pass an event on."""
        if self._id is None:
            return
        if self._others:
            handle_event(
                self._others,
                "on_custom_event",
                "ignore_custom_event",
                event,
                details,
                run_id=self._id,
            )
        if self._tracers:
            manager = CallbackManager(list(self._tracers), parent_run_id=self._id)
            manager.on_chain_start({"name": event}, {}, name=event).on_chain_end(dict(details))


def progress_of(
    arguments: Mapping[str, Any],
    run_manager: SyncRun,
    on_draft: Callable[[int], None] | None = None,
) -> Progress:
    """Return the progress of a call with these arguments, for its run and its own listener."""
    run = arguments.get("run")
    if run is None and run_manager is not None:
        run = ModelRun(run_manager.handlers, run_manager.run_id)
    return Progress(
        *(listener for listener in (run, arguments["on_progress"]) if listener is not None),
        on_draft=on_draft,
        cancelled=arguments.get("cancelled"),
        place=arguments.get("place"),
        run=None if run is None else run.id,
    )

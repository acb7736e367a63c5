"""Threads for many calls at once: they share passes of the model, so they need not wait in line.

LangChain's own threads are as many as suit the cores, which here would keep the model's batch
small.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list, run_in_executor

from latent_agent.errors import LatentAgentError
from latent_agent.model.admission import CallQueue
from latent_agent.settings import CALLS, Settings
from latent_memory.fork_renewal import in_forked_child

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# For each event loop its own, as asyncio's: a call may start a loop of its own and wait for it. For
# each model's queue, so that none waits for another model's calls; then by how many there are.
_Pools = WeakKeyDictionary[object, dict[int, ThreadPoolExecutor]]
_threads: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pools] = WeakKeyDictionary()
in_forked_child(_threads.clear)  # where their threads are gone


async def in_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do work in one of `CALLS` threads, in the context of its awaiter."""
    return await _in_one_of(in_thread, CALLS, partial(work, *args, **kwargs))


async def in_call_thread(queue: CallQueue, settings: Settings, work: Callable[[], R]) -> R:
    """Do a call's work in a thread, in the context of its awaiter.

    There is one for each call that may be at work, and one for each that may wait in the model's
    queue, where it can run out of time.
    """
    return await _in_one_of(queue, settings.max_calls + (settings.max_waiting or 0), work)


async def _in_one_of(owner: object, most: int, work: Callable[[], R]) -> R:
    owned = _threads.setdefault(asyncio.get_running_loop(), WeakKeyDictionary())
    pools = owned.setdefault(owner, {})
    if most not in pools:
        pools[most] = ThreadPoolExecutor(most, thread_name_prefix="latent-agent")
    return await run_in_executor(pools[most], copy_context().run, work)


def at_once(
    config: RunnableConfig | Sequence[RunnableConfig] | None, inputs: int, most: int | None = None
) -> list[RunnableConfig]:
    """Return a config for each input of a batch, in which many run at once: ``most``, or `CALLS`.

    ``max_concurrency`` in the config says otherwise.
    """
    configs = get_config_list(config, inputs)
    for each in configs[:1]:  # LangChain looks at the first
        if each.get("max_concurrency") is None:
            each["max_concurrency"] = most or CALLS
    return configs


def in_background(
    work: Callable[[Callable[[T], None]], R], cancelled: threading.Event
) -> Generator[T, None, R]:
    """Do work in a thread, yielding the pieces that it emits while it goes on.

    Args:
        work: Called with a function that takes the pieces.
        cancelled: Set once nobody listens any more; the work must stop then.

    Returns:
        What the work returned.

    Raises:
        LatentAgentError: In a child that was forked meanwhile.
    """
    process = os.getpid()
    pieces: queue.SimpleQueue[T | None] = queue.SimpleQueue()
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(copy_context().run, work, pieces.put)
        done.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
                if os.getpid() != process:  # the thread stayed in the parent
                    raise LatentAgentError(
                        f"a stream must be read by the process that began it, {process}, got "
                        f"process {os.getpid()}, which was forked meanwhile; ask again there"
                    )
        finally:
            cancelled.set()
        return done.result()

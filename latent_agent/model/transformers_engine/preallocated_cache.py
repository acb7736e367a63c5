"""Cached keys and values with room at their end: a pass copies what is new, not what is there."""

from typing import Any, Self

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64  # columns of room, at least
_SHARE = 8  # and at least this part of the width, or copies would grow as its square


class PreallocatedLayer(DynamicLayer):
    """One layer's keys and values: the first columns of a larger tensor, written in place.

    The library's own layer concatenates, and so copies all columns for each token. Code
    that replaces or crops ``keys`` and ``values`` may: room is made again at their end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._room: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def over(cls, keys: torch.Tensor, values: torch.Tensor, width: int) -> Self:
        """Return a layer that holds the first columns, and may write to the others."""
        layer = cls()
        layer.lazy_initialization(keys, values)
        layer._room = (keys, values)
        layer.hold(width)
        return layer

    def hold(self, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Hold the first columns of the room, and return them."""
        assert self._room is not None
        self.keys, self.values = (states.narrow(-2, 0, width) for states in self._room)
        return self.keys, self.values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new columns, and return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        new, at, width = (key_states, value_states), self.get_seq_length(), key_states.shape[-2]
        room = self._room if self._has_room(at + width) else self._made(new, at)
        for states, written in zip(room or (), new, strict=True):
            states.narrow(-2, at, width).copy_(written)
        self._room = room
        return self.hold(at + width)

    def _has_room(self, width: int) -> bool:
        """Whether what is held lies in the room, with room for this many columns."""
        held: torch.Tensor | None = self.keys
        if self._room is None or held is None or held.data_ptr() != self._room[0].data_ptr():
            return False
        same = held.shape[0] == self._room[0].shape[0]
        return same and width <= self._room[0].shape[-2]

    def _made(self, new: tuple[torch.Tensor, torch.Tensor], at: int) -> Any:
        """Copy what is held to the beginning of a larger tensor."""
        made: list[torch.Tensor] = []
        for held, written in zip((self.keys, self.values), new, strict=True):
            *rows, width, size = written.shape
            room = written.new_empty(*rows, at + width + max(ROOM, at // _SHARE), size)
            if at and held is not None:
                room.narrow(-2, 0, at).copy_(held)
            made.append(room)
        return tuple(made)


class PreallocatedCache(DynamicCache):
    """The library's cache, of such layers. Every layer keeps all its columns.

    Where attention slides, the mask does the sliding, so that the cache can be cropped to any
    length.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layer_class_to_replicate = PreallocatedLayer

"""Rows of several calls as one padded batch of cached keys and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache

from latent_agent.model.preallocated_cache import ROOM, RoomyLayer


@dataclass(eq=False)
class BatchRows:
    """Rows that one call decodes together: an answer, or a judge's replies.

    Attributes:
        cache: Keys and values of so many rows, padded to one width.
        mask: (rows, width) with 0 where a column is padding; None: there is none.
        ids: The token that comes next in each row, (rows, 1).
    """

    cache: DynamicCache
    mask: torch.Tensor | None = None
    ids: torch.Tensor | None = None

    @property
    def layers(self) -> Sequence[Any]:
        """The cache's layers."""
        return self.cache.layers

    def inputs(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return mask and positions of a pass over the next tokens; the mask is kept."""
        if self.mask is None:
            return None, None
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=-1)
        return self.mask, self.mask.sum(-1, keepdim=True) - 1


def can_gather(cache: DynamicCache) -> bool:
    """Whether a cache can be part of a batch: some layers keep no columns, or not all of them."""
    layers: Sequence[Any] = cache.layers
    return all(type(layer) is RoomyLayer and layer.is_initialized for layer in layers)


class Gathered:
    """The rows of several members in one batch, padded on the left.

    Columns are aligned at their end, so that a pass adds one to all rows.
    """

    def __init__(self, members: Sequence[BatchRows]) -> None:
        self.members = tuple(members)
        widths = [member.cache.get_seq_length() for member in members]
        counts = [member.layers[0].keys.shape[0] for member in members]
        ends = torch.tensor(counts).cumsum(0).tolist()
        self._rows = [slice(end - count, end) for count, end in zip(counts, ends, strict=True)]
        self._width = max(widths)
        self._starts = [self._width - width for width in widths]
        self._mask = self._gathered_mask()
        self._positions = self._mask.sum(-1, keepdim=True)
        layers: list[Any] = [self._layer(index) for index in range(len(members[0].layers))]
        self.cache = Cache(layers=layers)

    def _gathered_mask(self) -> torch.Tensor:
        places = list(zip(self.members, self._rows, self._starts, strict=True))
        device = self.members[0].layers[0].keys.device
        shape = (self._rows[-1].stop, self._width)
        mask = torch.zeros(shape, dtype=torch.long, device=device)
        for member, rows, start in places:
            mask[rows, start:] = 1 if member.mask is None else member.mask
        return mask

    def _layer(self, index: int) -> RoomyLayer:
        """Copy one layer's keys and values of all members."""
        gathered: list[torch.Tensor] = []
        for name in ("keys", "values"):
            first: torch.Tensor = getattr(self.members[0].layers[index], name)
            _, heads, _, size = first.shape
            states = first.new_zeros(self._rows[-1].stop, heads, self._width + ROOM, size)
            for member, rows, start in zip(self.members, self._rows, self._starts, strict=True):
                own: torch.Tensor = getattr(member.layers[index], name)
                states[rows, :, start : self._width] = own
            gathered.append(states)
        return RoomyLayer.over(gathered[0], gathered[1], self._width)

    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ids, mask and positions of a pass over the next tokens, one column wider."""
        ids = [member.ids for member in self.members if member.ids is not None]
        new = self._mask.new_ones(self._mask.shape[0], 1)
        return torch.cat(ids), torch.cat([self._mask, new], dim=-1), self._positions

    def grow(self, mask: torch.Tensor) -> None:
        """Take over what a pass over `inputs` added."""
        self._mask, self._positions = mask, self._positions + 1
        self._width += 1

    def rewind(self) -> None:
        """Forget what a pass that failed has added to some layers."""
        layers: list[Any] = self.cache.layers
        for layer in layers:
            layer.hold(self._width)

    def split(self, made: torch.Tensor) -> list[torch.Tensor]:
        """Return each member's part of what was made for all rows."""
        return [made[rows].clone() for rows in self._rows]

    def give_back(self, member: BatchRows, *, copy: bool) -> None:
        """Let a member's cache hold its rows again, as a copy or as part of this batch."""
        place = self.members.index(member)
        rows, start = self._rows[place], self._starts[place]
        ours: list[Any] = self.cache.layers
        for layer, own in zip(ours, member.layers, strict=True):
            for name in ("keys", "values"):
                states: torch.Tensor = getattr(layer, name)[rows, :, start : self._width]
                setattr(own, name, states.clone() if copy else states)
        if member.mask is not None:
            member.mask = self._mask[rows, start:]

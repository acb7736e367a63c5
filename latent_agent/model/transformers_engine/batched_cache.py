"""Rows of several calls as one padded batch of cached keys and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache

from latent_agent.model.transformers_engine.preallocated_cache import ROOM, PreallocatedLayer


@dataclass(eq=False)
class SequenceGroup:
    """The sequences that one call decodes together: an answer, or a judge's replies.

    Attributes:
        cache: Keys and values of the rows, padded to one width.
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

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows; the cache must hold this group's own."""
        kept = torch.tensor(rows)
        for layer in self.layers:
            if layer.is_initialized:
                kept = kept.to(layer.keys.device)
                layer.keys, layer.values = layer.keys[kept], layer.values[kept]
        if self.mask is not None:
            self.mask = self.mask[kept.to(self.mask.device)]

    def inputs(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return mask and positions of a pass over the next tokens; the mask is kept."""
        if self.mask is None:
            return None, None
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=-1)
        return self.mask, self.mask.sum(-1, keepdim=True) - 1


def can_batch(cache: DynamicCache) -> bool:
    """Whether a cache can be part of a batch: not if layers keep no columns, or not all."""
    layers: Sequence[Any] = cache.layers
    return all(type(layer) is PreallocatedLayer and layer.is_initialized for layer in layers)


class PaddedBatch:
    """The rows of several groups in one batch, padded on the left.

    Columns are aligned at their end, so that a pass adds one to all rows.
    """

    def __init__(self, groups: Sequence[SequenceGroup]) -> None:
        self.groups = tuple(groups)
        self._dropped: list[SequenceGroup] = []
        widths = [group.cache.get_seq_length() for group in groups]
        counts = [group.layers[0].keys.shape[0] for group in groups]
        ends = torch.tensor(counts).cumsum(0).tolist()
        self._rows = [slice(end - count, end) for count, end in zip(counts, ends, strict=True)]
        self._width = max(widths)
        self._starts = [self._width - width for width in widths]
        self._mask = self._padded_mask()
        self._positions = self._mask.sum(-1, keepdim=True)
        layers: list[Any] = [self._layer(index) for index in range(len(groups[0].layers))]
        self.cache = Cache(layers=layers)

    def _padded_mask(self) -> torch.Tensor:
        device = self.groups[0].layers[0].keys.device
        shape = (self._rows[-1].stop, self._width)
        mask = torch.zeros(shape, dtype=torch.long, device=device)
        for group, rows, start in zip(self.groups, self._rows, self._starts, strict=True):
            mask[rows, start:] = 1 if group.mask is None else group.mask
        return mask

    def _layer(self, index: int) -> PreallocatedLayer:
        """Copy one layer's keys and values of all groups."""
        padded: list[torch.Tensor] = []
        for name in ("keys", "values"):
            first: torch.Tensor = getattr(self.groups[0].layers[index], name)
            _, heads, _, size = first.shape
            states = first.new_zeros(self._rows[-1].stop, heads, self._width + ROOM, size)
            for group, rows, start in zip(self.groups, self._rows, self._starts, strict=True):
                own: torch.Tensor = getattr(group.layers[index], name)
                states[rows, :, start : self._width] = own
            padded.append(states)
        return PreallocatedLayer.over(padded[0], padded[1], self._width)

    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ids, mask and positions of a pass over the next tokens, one column wider."""
        ids = [group.ids for group in self.groups if group.ids is not None]
        new = self._mask.new_ones(self._mask.shape[0], 1)
        return torch.cat(ids), torch.cat([self._mask, new], dim=-1), self._positions

    def grow(self, mask: torch.Tensor) -> None:
        """Account for the column that a pass over `inputs` added."""
        self._mask, self._positions = mask, self._positions + 1
        self._width += 1

    def drop(self, group: SequenceGroup) -> None:
        """Take note that a group has other rows from now on: no pass is made with this batch."""
        self._dropped.append(group)

    def holds(self, group: SequenceGroup) -> bool:
        """Whether a group's rows lie here."""
        return group in self.groups and group not in self._dropped

    def serves(self, groups: Sequence[SequenceGroup]) -> bool:
        """Whether a pass for these groups can be made with it."""
        return self.groups == tuple(groups) and not self._dropped

    def rewind(self) -> None:
        """Drop what a failed pass has added to some layers."""
        layers: list[Any] = self.cache.layers
        for layer in layers:
            layer.hold(self._width)

    def split(self, outputs: torch.Tensor) -> list[torch.Tensor]:
        """Return each group's part of the outputs for all rows."""
        return [outputs[rows].clone() for rows in self._rows]

    def write_back(self, group: SequenceGroup, *, copy: bool) -> None:
        """Let a group's cache hold its rows again, as a copy or as part of this batch."""
        place = self.groups.index(group)
        rows, start = self._rows[place], self._starts[place]
        ours: list[Any] = self.cache.layers
        for layer, own in zip(ours, group.layers, strict=True):
            for name in ("keys", "values"):
                states: torch.Tensor = getattr(layer, name)[rows, :, start : self._width]
                setattr(own, name, states.clone() if copy else states)
        if group.mask is not None:
            group.mask = self._mask[rows, start:]

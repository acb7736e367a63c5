"""A picture of one question's path: what each step made of the answer, and its reward."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from textwrap import wrap
from typing import Any

# Blue and vermilion of Okabe and Ito's colours, which the colour-blind tell apart.
_KEPT, _NEW, _OTHER = "#0072b2", "#d55e00", "#8a8a8a"
_LINE = 54  # characters of an answer's line
_SIZE = 8.5  # of the answers, in points
Round = Mapping[str, Any]


def draw_path(found: Mapping[str, Any], picture: Path) -> None:
    """Draw the answer after each step, changed words marked, beside its reward, into a PNG."""
    from matplotlib.figure import Figure

    rounds: Sequence[Round] = found["rounds"]
    figure = Figure(figsize=(7, 1.4 + 0.36 * len(rounds)), layout="constrained")
    said, axes = figure.subplots(1, 2, width_ratios=(2.2, 1), sharey=True)
    _draw_answers(said, rounds)
    _draw_rewards(axes, rounds, found["threshold"])
    axes.set_ylim(len(rounds) - 0.4, -0.9)
    figure.suptitle("\n".join(wrap(f"“{found['question']}”", 80)), fontsize=10)
    figure.savefig(picture, dpi=150, metadata={"Software": None})


def _draw_rewards(axes: Any, rounds: Sequence[Round], threshold: float) -> None:
    rewards = [one["reward"] for one in rounds]
    places = range(len(rounds))
    axes.axvline(threshold, color=_KEPT, linestyle="--", linewidth=1, zorder=0.5)
    axes.text(threshold - 0.03, -0.75, "passes above", color=_KEPT, fontsize=8, ha="right")
    axes.plot(rewards, places, color=_OTHER, linewidth=1.2, zorder=1)
    colours = [_KEPT if reward > threshold else _OTHER for reward in rewards]
    axes.scatter(rewards, places, c=colours, s=45, zorder=2)
    for place, reward in enumerate(rewards):
        axes.annotate(
            f"{reward:.2f}", (reward, place), (-9, 0), textcoords="offset points", ha="right",
            va="center", fontsize=8.5, bbox={"fc": "w", "ec": "none", "pad": 1}, zorder=1.5,
        )  # fmt: skip
    axes.set_xlim(-1.05, 0.08)
    axes.set_xlabel("reward (-1 to 0)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    axes.grid(axis="x", alpha=0.25)


def _draw_answers(axes: Any, rounds: Sequence[Round]) -> None:
    names = ["draft", *(f"step {at}" for at in range(1, len(rounds)))]
    axes.set_yticks(range(len(rounds)), names, fontsize=9)
    axes.tick_params(left=False)
    axes.set_xlim(0, _LINE)
    axes.set_xticks([])
    axes.set_xlabel("answer (orange and bold: words that the step changed)")
    axes.spines[:].set_visible(False)
    before: str | None = None
    for place, one in enumerate(rounds):
        if one["text"] == before:
            axes.text(0, place, "latents moved, no word changed", fontsize=_SIZE, style="italic",
                      color=_OTHER, va="center")  # fmt: skip
        else:
            _write(axes, place, one["text"], before)
        before = one["text"]


def _write(axes: Any, place: int, text: str, before: str | None) -> None:
    """Write an answer word by word, in lines."""
    words = list(marked(text, before))
    lines = wrap(text, _LINE)
    for number, line in enumerate(lines):
        column, height = 0, place + 0.36 * (number - (len(lines) - 1) / 2)
        for _ in line.split():
            word, new = words.pop(0)
            look = {"color": _NEW, "weight": "bold"} if new else {"color": "#222222"}
            axes.text(column, height, word, family="monospace", fontsize=_SIZE, va="center", **look)
            column += len(word) + 1


def marked(text: str, before: str | None) -> Iterator[tuple[str, bool]]:
    """Yield a text's words, each with whether the text before it lacks it there."""
    words, old = text.split(), text.split() if before is None else before.split()
    for kind, _, _, start, end in SequenceMatcher(a=old, b=words, autojunk=False).get_opcodes():
        for word in words[start:end]:
            yield word, kind != "equal"

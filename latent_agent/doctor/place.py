"""Whether a memory can be made, or written, where it is to lie."""

from pathlib import Path
from tempfile import TemporaryFile

from latent_agent.doctor.finding import Finding
from latent_memory.database import Address


def can_be_made(path: Path) -> Finding:
    """Try to make a file in the nearest folder that is there; it is gone at once."""
    try:
        nearest = next(parent for parent in path.parents if parent.exists())
        with TemporaryFile(dir=nearest):
            text = f"none yet at {path}; the first call makes it"
            return Finding(about="memory", state="ok", text=text)
    except OSError as error:  # rights alone do not tell: root has them all
        return Finding(
            about="memory",
            state="fail",
            text=f"none yet at {path}, and none can be made there: {error}",
            remedy="give a place in a folder that you may write to, with --memory",
        )


def found_at(address: Address, text: str) -> Finding:
    """Tell of a memory that could be read, and whether it can be written, too."""
    if address.is_writable():
        return Finding(about="memory", state="ok", text=f"{text}, at {address.place}")
    return Finding(
        about="memory",
        state="warn",
        text=f"{text}, at {address.place}, where it can be read and not written: nothing more is "
        "kept, and nights fail",
        remedy="make the file and its folder writable, or name a server's primary and a user who "
        "may write there, unless it is meant to be so",
    )

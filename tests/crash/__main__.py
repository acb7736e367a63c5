"""The command: ``python -m tests.crash --kills 200 --folder DIR --seed 0``."""

import argparse
import sys
from pathlib import Path

from tests.crash.run import run


def main() -> None:
    """Kill as often as asked; exit with 1 as soon as something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=run.__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--folder", type=Path, required=True, help="an empty or new folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at", help="URL of an empty memory on a server, to use instead")
    given = parser.parse_args()
    try:
        for line in run(given.kills, given.folder, given.seed, given.at):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except AssertionError as error:
        sys.exit(f"{error} (the files are in {given.folder})")


if __name__ == "__main__":
    main()

"""The command `eventstore`; `python -m eventstore` is the same."""

import sys

from eventstore.errors import ExtraMissing


def main() -> None:
    """Run the command, or exit with the name of the missing extra."""
    try:
        from eventstore.cli import main as group  # noqa: PLC0415  # needs an extra
    except ExtraMissing as missing:
        sys.exit(f"eventstore: {missing}")
    group(prog_name="eventstore")


if __name__ == "__main__":
    main()

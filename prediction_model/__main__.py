"""`python -m prediction_model COMMAND`: one module of `commands` per command, imported when it is called."""

from __future__ import annotations

import argparse
import errno
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from prediction_model import commands
from prediction_model.errors import PredictionError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def names() -> list[str]:
    """Every command there is."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    overview = argparse.ArgumentParser(prog="python -m prediction_model", description="Swap faces in real time.")
    overview.add_argument("command", choices=names(), metavar="COMMAND", help=", ".join(names()))
    chosen = overview.parse_args(arguments[:1]).command
    module = importlib.import_module(f"prediction_model.commands.{chosen.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"python -m prediction_model {chosen}", description=module.HELP)
    module.add_arguments(parser)
    try:
        return int(module.run(parser.parse_args(arguments[1:])))
    except PredictionError as error:
        print(f"{chosen}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno in DISK_FULL:
            why = f"the disk is full ({error.strerror}): free some space, then start it again"
        else:
            why = f"{error.filename or 'a file or an address'}: {error.strerror or error}"
        print(f"{chosen}: {why}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

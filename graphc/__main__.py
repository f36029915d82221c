"""The command line: `python -m graphc {demo,info,inspect,cache}`."""

from __future__ import annotations

import argparse
import sys


def _demo(args: argparse.Namespace) -> int:
    from .demo import main
    return main(epochs=args.epochs, threads=args.threads)


def _info(args: argparse.Namespace) -> int:
    from .base.config import config
    from .state import info
    print(info())
    print("\nEnvironment variables:")
    print(config.table())
    return 0


def _inspect(args: argparse.Namespace) -> int:
    from .inspect_file import main
    return main(args.target, args.show)


def _cache(args: argparse.Namespace) -> int:
    from .native.cache import disk_cache
    cache = disk_cache()
    if args.action == "clear":
        cache.clear()
        print("the cache is empty")
    else:
        for key, value in cache.info().items():
            print(f"{key}: {value}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m graphc", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="train a small network on handwritten digits, eager and compiled")
    demo.add_argument("--epochs", type=int, default=30)
    demo.add_argument("--threads", type=int, default=None)
    demo.set_defaults(run=_demo)
    commands.add_parser("info", help="compiler, kernels, threads, cache, settings").set_defaults(run=_info)
    inspect = commands.add_parser("inspect", help="show what a compiled function in a file became")
    inspect.add_argument("target", metavar="FILE.py:NAME",
                         help="a compiled function that the file has called, or a function without arguments")
    inspect.add_argument("--show", choices=["all", "graph", "kernels", "source", "memory", "explain"],
                         default="all")
    inspect.set_defaults(run=_inspect)
    cache = commands.add_parser("cache", help="the disk cache of built programs")
    cache.add_argument("action", choices=["info", "clear"])
    cache.set_defaults(run=_cache)
    args = parser.parse_args(argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())

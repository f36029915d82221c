"""The command line: `python -m graphc {demo,info,inspect,verify,cache}`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any


def _demo(args: argparse.Namespace) -> int:
    from .demo import main

    return main(epochs=args.epochs, threads=args.threads)


def _info(args: argparse.Namespace) -> int:
    from .base.config import config
    from .state import info

    print(info())
    print("\nenvironment variables:")
    for name, value, default, meaning in config.table():
        changed = "" if value == default else f" (default: {_plain(default)})"
        print(f"  {name}={_plain(value)}{changed}\n      {meaning}")
    return 0


def _plain(value: object) -> object:
    return int(value) if isinstance(value, bool) else "none" if value == "" else value


def _inspect(args: argparse.Namespace) -> int:
    from .inspect_file import main

    return main(args.target, args.show)


def _verify(args: argparse.Namespace) -> int:
    from .inspect_file import verify_file

    return verify_file(args.target, args.repro)


def _cache(args: argparse.Namespace) -> int:
    from .native.cache import disk_cache

    cache = disk_cache()
    if args.action == "clear":
        print(f"deleted {cache.clear()} entries")
    else:
        found: Any = cache.info()
        print(
            f"folder:  {found['folder']}\nentries: {found['entries']}\n"
            f"size:    {found['bytes'] / 2**20:.1f} MB of at most {found['limit_bytes'] >> 20} MB"
        )
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive whole number, got {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m graphc",
        description="Tensors, autograd and a compiler whose results are eager's, bit for bit.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo", help="train a small network on handwritten digits, eager and compiled"
    )
    demo.add_argument("--epochs", type=_count, default=30, help="passes over the data (default 30)")
    demo.add_argument(
        "--threads", type=_count, default=None, help="threads (default: one per core)"
    )
    demo.set_defaults(run=_demo)
    info = commands.add_parser("info", help="compiler, kernels, threads, cache, settings")
    info.set_defaults(run=_info)
    inspect = commands.add_parser("inspect", help="show what a compiled function in a file became")
    inspect.add_argument(
        "target",
        metavar="FILE.py:NAME",
        help="a compiled function that the file has called, or a function without arguments",
    )
    inspect.add_argument(
        "--show",
        default="all",
        choices=["all", "explain", "graph", "fused", "kernels", "memory", "source"],
        help="one view only (default: all but the whole source)",
    )
    inspect.set_defaults(run=_inspect)
    verify = commands.add_parser(
        "verify", help="compare a compiled function in a file with eager mode, bit for bit"
    )
    verify.add_argument(
        "target", metavar="FILE.py:NAME", help="as for inspect; called as it was compiled last"
    )
    verify.add_argument(
        "--repro", metavar="FOLDER", help="where to write a program that shows a difference"
    )
    verify.set_defaults(run=_verify)
    cache = commands.add_parser("cache", help="the disk cache of built programs")
    cache.add_argument("action", choices=["info", "clear"])
    cache.set_defaults(run=_cache)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except BrokenPipeError:  # the reader has gone, as with `| head`; nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.parity.report [--op NAME] [--all] [--fails N]` prints the parity table: per
OpInfo and kind of check, passed/all samples; with --op the differences themselves.

Nothing is asserted here; `test_opinfo.py` does."""

from __future__ import annotations

import argparse
import sys
import time

from . import opinfo


def cell(counts: tuple[int, int, int] | None) -> str:
    if counts is None:
        return "."
    passed, failed, missing = counts
    text = f"{passed}/{sum(counts)}"
    return text if passed == sum(counts) else f"{text}{'m' if missing else '!'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--op", action="append", help="only OpInfos of this name (prefix)")
    parser.add_argument("--all", action="store_true", help="also those that pass everywhere")
    parser.add_argument("--kind", action="append", help="only this kind of check")
    parser.add_argument("--fails", type=int, default=None, help="print so many differences per op")
    parser.add_argument("--times", action="store_true", help="print seconds per OpInfo")
    parser.add_argument("--complex", action="store_true", help="complex64 and complex128 alone")
    given = parser.parse_args()
    chosen = [
        n
        for n in opinfo.chosen()
        if not given.op or any(n == o or n.split(" ")[0] == o for o in given.op)
    ]
    fails = given.fails if given.fails is not None else (20 if given.op else 0)
    everything: list[opinfo.Outcome] = []
    print(f"{'':38}" + "".join(f"{k:>10}" for k in opinfo.KINDS))
    for name in sorted(chosen):
        start = time.perf_counter()
        outcomes = opinfo.run(name, opinfo.COMPLEX if given.complex else opinfo.DTYPES)
        spent = time.perf_counter() - start
        if given.kind:
            outcomes = [o for o in outcomes if o.kind in given.kind]
        everything += outcomes
        good = all(o.said is None for o in outcomes)
        if good and not given.all and not given.op:
            continue
        for _, kinds in opinfo.table(outcomes):
            row = "".join(f"{cell(kinds.get(k)):>10}" for k in opinfo.KINDS)
            print(
                f"{opinfo.tier_of(opinfo.chosen()[name])} {name:36}{row}"
                + (f" {spent:.1f} s" if given.times else "")
            )
        seen: dict[tuple, int] = {}
        for o in outcomes:
            if o.said is None:
                continue
            key = (o.kind, o.said[:60])
            seen[key] = seen.get(key, 0) + 1
            if seen[key] == 1 and len(seen) <= fails:
                print(f"      {o.kind} {o.dtype} #{o.index}: {o.said}")
        sys.stdout.flush()
    total = len(everything)
    passed = sum(o.said is None for o in everything)
    missing = sum(o.missing for o in everything)
    print(
        f"\n{len(chosen)} OpInfos, {total} checks: {passed} passed, {total - passed - missing} "
        f"failed, {missing} missing: {100 * passed / max(total, 1):.2f} %"
    )
    for kind in opinfo.KINDS:
        own = [o for o in everything if o.kind == kind]
        if own:
            good = sum(o.said is None for o in own)
            print(f"  {kind:10} {good}/{len(own)} = {100 * good / len(own):.2f} %")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

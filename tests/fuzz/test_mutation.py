"""Random programs of views and in-place ops, eager against interpreted and compiled: the same
values, strides, aliasing, identities, versions and errors on four calls with other values and other
aliasing.

`pytest -m fuzz --fuzz-seed N --fuzz-count M tests/fuzz/test_mutation.py` draws others. A failing
program is cut down and printed."""

import sys
from pathlib import Path

import pytest

import graphc
from graphc.base.errors import CaptureBreak
from graphc.core.tensor import address

sys.path.insert(0, str(Path(__file__).parent))
from mutations import CALLS, Program  # noqa: E402

PER_FILE = 10
REFUSED = "memory of a tensor from outside is replaced"  # x.unsqueeze_() of an argument


def shown(t):
    return (t.dtype, tuple(t.shape), t.stride(), t.storage_offset(), t._array.tolist())


def outcome(fn, program, call):
    """All that a call shows: results, where they lie, what it did to the memory of its inputs."""
    memory, inputs = program.inputs(call)
    graphc.manual_seed(call)
    try:
        results = list(fn(*inputs))
    except (NameError, CaptureBreak):
        raise
    except Exception as e:  # noqa: BLE001
        error = (type(e).__name__, str(e).split("\n")[0])
        return "error", error, [shown(t) for t in memory], None
    places = []
    for t in results:
        near = [
            (i, address(t._array) - address(m._array))
            for i, m in enumerate([*memory, *results])
            if m is t or m._storage is t._storage
        ]
        places.append((near[0], [t is x for x in (*inputs, *results)]))
    return (
        "done",
        [shown(t) for t in results],
        [shown(t) for t in (*memory, *inputs)],
        (places, [t._version for t in inputs], graphc.default_generator.state_words()),
    )


def compare(program, backend):
    """The first difference between eager and compiled, in words; empty for none."""
    fn = program.function()
    compiled = graphc.compile(program.function(), backend=backend, fullgraph=True)
    for call in range(CALLS):
        found = _differ(outcome(fn, program, call), outcome(compiled, program, call))
        if found:
            return f"{backend}, call {call}: {found}"
    return ""


def _differ(want, got):
    for name, a, b in zip(
        ("kind", "results", "memory", "places and versions"), want, got, strict=True
    ):
        if a != b:
            return f"{name}:\n  eager    {a}\n  compiled {b}"
    return ""


class Together:
    """Several programs whose calls all succeed eagerly, as one."""

    def __init__(self, programs):
        self.programs = programs

    def function(self):
        fns = [p.function() for p in self.programs]
        sizes = [len(p.shapes) for p in self.programs]

        def fn(*inputs):
            out, at = [], 0
            for f, n in zip(fns, sizes, strict=True):
                out.extend(f(*inputs[at : at + n]))
                at += n
            return tuple(out)

        return fn

    def inputs(self, call):
        pairs = [p.inputs(call) for p in self.programs]
        return [m for memory, _ in pairs for m in memory], [
            x for _, inputs in pairs for x in inputs
        ]


def failure(program, backends=("interpret", "c")):
    for backend in backends:
        try:
            found = compare(program, backend)
        except NameError:
            return ""
        except CaptureBreak as e:
            found = "" if REFUSED in str(e) else f"{backend}: {e}"
        except Exception as e:  # noqa: BLE001
            found = f"{backend}: {type(e).__name__}: {e}"
        if found:
            return found
    return ""


def shrink(program, backends):
    """Drops statements and results while the program still fails."""
    changed = True
    while changed:
        changed = False
        for field in ("lines", "returns"):
            for i in reversed(range(len(getattr(program, field)))):
                kept = list(getattr(program, field))
                setattr(program, field, kept[:i] + kept[i + 1 :])
                if (field == "lines" or program.returns) and failure(program, backends):
                    changed = True
                else:
                    setattr(program, field, kept)
    return program


def run(seeds):
    """Fails with the first failing programs, cut down."""
    quiet, failed = [], []
    for seed in seeds:
        p = Program(seed)
        if failure(p, ("interpret",)):
            failed.append((p, ("interpret",)))
        elif all(outcome(p.function(), p, c)[0] == "done" for c in range(CALLS)):
            quiet.append(p)
    for at in range(0, len(quiet), PER_FILE):
        group = quiet[at : at + PER_FILE]
        if failure(Together(group), ("c",)):
            alone = [(p, ("c",)) for p in group if failure(p, ("c",))]
            failed += alone
            if not alone:
                pytest.fail(
                    f"only together: seeds {[p.seed for p in group]}: "
                    + failure(Together(group), ("c",))
                )
    if failed:
        texts = [f"{shrink(p, b)!r}{failure(p, b)}" for p, b in failed[:5]]
        pytest.fail(
            f"{len(failed)} of {len(seeds)} programs: seeds {[p.seed for p, _ in failed]}\n\n"
            + "\n\n".join(texts)
        )


@pytest.mark.parametrize(
    "seed",
    [
        869_483_971,  # a write through a view that overlaps itself, read through another
        24_000_333,  # strides of a negated view with an axis of one element
        24_000_196,  # where's result over an axis of one element
        31_000_819,  # numpy negates some strided columns wrongly
    ],
)
def test_once_wrong(seed):
    run([seed])


@pytest.mark.parametrize("part", range(3))
def test_sample(part):
    run(range(part * 20, part * 20 + 20))


@pytest.mark.fuzz
def test_fresh(fuzz_seed, fuzz_count):
    run(range(fuzz_seed, fuzz_seed + fuzz_count))

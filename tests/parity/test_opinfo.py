"""Over PyTorch's OpInfo samples the tier-1 and tier-2 operators give PyTorch's results: every one
passes all its checks, or is listed with its reason in known_gaps.toml.

The whole table: `python -m tests.parity.report`."""

import tomllib
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's test library needs it")

from . import opinfo

pytestmark = pytest.mark.parity

MOST_GAPS = 30
LEAST_PASSED = 0.98

GAPS = tomllib.loads((Path(__file__).parent / "known_gaps.toml").read_text(encoding="utf-8"))
GAPS = {(g["name"], g["kind"]): g["reason"] for g in GAPS.get("gap", [])}

counts = {"all": 0, "passed": 0, "infos": 0}


@pytest.mark.parametrize("name", sorted(opinfo.chosen()))
def test_samples(name):
    outcomes = opinfo.run(name)
    assert outcomes or not opinfo.has_samples(name), "no sample was checked"
    counts["all"] += len(outcomes)
    counts["passed"] += sum(o.said is None for o in outcomes)
    counts["infos"] += 1
    failed: dict = {}
    for o in outcomes:
        if o.said is not None:
            failed.setdefault(o.kind, []).append(f"{o.kind} {o.dtype} #{o.index}: {o.said}")
    new = [line for kind, lines in failed.items() if (name, kind) not in GAPS for line in lines]
    assert not new, f"{len(new)} of {len(outcomes)} checks\n" + "\n".join(new[:12])
    closed = [kind for n, kind in GAPS if n == name and kind not in failed]
    assert not closed, f"these gaps are closed, take them off the list: {closed}"


def test_gaps_are_few_and_none_of_tier_1():
    assert len(GAPS) <= MOST_GAPS
    assert all(reason for reason in GAPS.values())
    for name, kind in GAPS:
        assert opinfo.tier_of(opinfo.chosen()[name]) == 2, name
        assert kind in opinfo.KINDS


def test_most_samples_pass():
    """The last test of the file: over all samples that ran before it."""
    if counts["infos"] < len(opinfo.chosen()):
        pytest.skip("only some of the operators ran")
    share = counts["passed"] / counts["all"]
    print(f"parity: {counts['passed']} of {counts['all']} checks = {100 * share:.2f} %")
    assert share >= LEAST_PASSED

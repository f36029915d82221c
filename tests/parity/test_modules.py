"""Over PyTorch's ModuleInfo samples the tier-1 and tier-2 modules give PyTorch's results,
gradients, buffers and printed form."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's test library needs it")

from . import modules

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", sorted(modules.chosen()))
def test_samples(name):
    outcomes = modules.run(name)
    assert outcomes, "no sample was checked"
    failed = [f"{o.kind} #{o.index}: {o.said}" for o in outcomes if o.said is not None]
    assert not failed, f"{len(failed)} of {len(outcomes)} checks\n" + "\n".join(failed[:12])

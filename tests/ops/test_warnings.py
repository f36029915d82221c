"""IEEE inf and nan are results, not warnings: also where the user turned warnings into errors."""

import warnings

import graphc as torch


def test_no_numpy_warnings_escape():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (torch.ones(2) / torch.zeros(2)).tolist() == [float("inf")] * 2
        x = torch.tensor([4.0, 0.0])
        x /= torch.tensor([2.0, 0.0])
        assert x[0].item() == 2.0 and x[1].isnan()
        assert torch.tensor([-1.0]).sqrt().isnan().all()

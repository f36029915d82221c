"""The von Mises distribution on the circle."""

from __future__ import annotations

import math
from typing import Any

from ..base.dtypes import float64
from ..core.modes import no_grad
from ..core.tensor import Size
from ..creation import rand
from ..functional import where
from ..special import i0e, i1e
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all


class VonMises(Distribution):
    """VonMises(loc, concentration): density exp(c cos(x - loc)) / (2 pi I0(c)) over angles."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    _parameters = {"loc": 0, "concentration": 0}

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        c = self.concentration
        # log I0(c) = log i0e(c) + c
        return c * ((value - self.loc).cos() - 1) - math.log(2 * math.pi) - i0e(c).log()

    def sample(self, sample_shape: Any = Size()) -> Any:
        """Best & Fisher's rejection (1979), in float64; every round decides by values."""
        with no_grad():
            shape = tuple(self._extended_shape(sample_shape))
            loc = self.loc.to(float64).expand(shape)
            kappa: Any = self.concentration.to(float64).expand(shape)
            tau = 1 + (1 + 4 * kappa**2).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
            r = where(kappa < 1e-5, 1 / kappa + kappa, (1 + rho**2) / (2 * rho))
            x, done = loc * 0, loc != loc
            while not bool(done.all()):
                u: Any = rand((3, *shape), dtype=float64)
                z = (math.pi * u[0]).cos()
                f = (1 + r * z) / (r + z)
                c = kappa * (r - f)
                u2 = 1 - u[1]
                accept = ((c * (2 - c) - u2) > 0) | ((c / u2).log() + 1 - c >= 0)
                angle = (u[2] - 0.5).sign() * f.clamp(-1, 1).acos()
                x = where(accept & ~done, angle, x)
                done = done | accept
            turned = (x + math.pi + loc) % (2 * math.pi) - math.pi
            return turned.to(self.loc.dtype)

    @property
    def mean(self) -> Any:
        """The circular mean."""
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        """The circular variance."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)


__all__ = ["VonMises"]

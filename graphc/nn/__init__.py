"""Neural networks: modules, layers, losses, initialisers. Names and behaviour are PyTorch's.

Knows the ops and nothing of the compiler, which learns of module state through `core.observe`.
https://docs.pytorch.org/docs/stable/nn.html
"""

from . import attention, functional, init, modules, parallel, parameter, utils
from .modules import *  # noqa: F403
from .parallel import DataParallel
from .parameter import Buffer, Parameter

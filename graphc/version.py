"""The version, and what it was built with, under the names of torch.version."""

__version__ = "0.1.0"
debug = False
cuda = hip = xpu = git_version = None

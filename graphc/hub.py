"""Weights and models from elsewhere: files by URL into a cache folder, and models that a folder's
hubconf.py makes. https://docs.pytorch.org/docs/stable/hub.html

Invariant: a file appears in the cache whole, with the hash that was asked for, or not at all."""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import types
import urllib.request
import zipfile
from typing import Any
from urllib.parse import urlparse

from .serialization import load as _load_file

_HASH = re.compile(r"-([a-f0-9]*)\.")
_folder: builtins.list[str] = []
_BLOCK = 1 << 16


def get_dir() -> str:
    """The cache folder: set_dir()'s, or hub in $TORCH_HOME, or torch/hub in the user's cache."""
    if _folder:
        return _folder[-1]
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return os.path.join(os.path.expanduser(home), "hub")


def set_dir(d: Any) -> None:
    """Sets the cache folder."""
    _folder[:] = [os.path.expanduser(d)]


def download_url_to_file(
    url: str, dst: str, hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Writes what a URL gives into dst. RuntimeError when its SHA-256 does not start with
    hash_prefix."""
    dst = os.path.expanduser(dst)
    folder = os.path.dirname(os.path.abspath(dst))
    digest, done = hashlib.sha256(), 0
    handle, part = tempfile.mkstemp(prefix=os.path.basename(dst) + ".", dir=folder)
    try:
        with os.fdopen(handle, "wb") as f, urllib.request.urlopen(url) as source:
            total = int(source.headers.get("Content-Length") or 0)
            while block := source.read(_BLOCK):
                f.write(block)
                digest.update(block)
                done += len(block)
                if progress and total and sys.stderr.isatty():
                    sys.stderr.write(f"\r{100 * done // total}% of {total / 2**20:.1f} MB")
        if progress and sys.stderr.isatty():
            sys.stderr.write("\n")
        found = digest.hexdigest()
        if hash_prefix is not None and found[: len(hash_prefix)] != hash_prefix:
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{found}")')
        os.replace(part, dst)
    finally:
        if os.path.exists(part):
            os.remove(part)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """graphc.load of a URL's file, which is kept in model_dir (default: checkpoints in the cache
    folder). check_hash: the file's name carries the start of its SHA-256, as name-<hash>.ext."""
    folder = model_dir or os.path.join(get_dir(), "checkpoints")
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        found = _HASH.search(name) if check_hash else None
        download_url_to_file(url, path, found.group(1) if found else None, progress)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as z:
            members = z.infolist()
            if len(members) == 1 and not members[0].filename.endswith("data.pkl"):
                z.extractall(folder)  # a zip around one file, as old model zoos had
                path = os.path.join(folder, members[0].filename)
    return _load_file(path, map_location=map_location, weights_only=weights_only)


def _hubconf(repo_or_dir: Any, source: str) -> types.ModuleType:
    if source.lower() not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source.lower() == "github":
        raise RuntimeError(
            'graphc.hub does not fetch repositories; clone it and use source="local"'
        )
    folder = os.path.abspath(os.path.expanduser(repo_or_dir))
    path = os.path.join(folder, "hubconf.py")
    sys.path.insert(0, folder)
    try:
        spec: Any = importlib.util.spec_from_file_location("hubconf", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    missing = [
        name
        for name in getattr(module, "dependencies", ())
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


def _entry(module: types.ModuleType, name: Any) -> Any:
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a string of function name")
    found = getattr(module, name, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return found


def list(
    github: Any,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = None,
    verbose: bool = True,
    source: str = "local",
) -> builtins.list[str]:
    """The models that a folder's hubconf.py makes."""
    module = _hubconf(github, source)
    return [n for n, f in vars(module).items() if callable(f) and not n.startswith("_")]


def help(
    github: Any,
    model: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = None,
    source: str = "local",
) -> str | None:
    """The docstring of one of them."""
    return _entry(_hubconf(github, source), model).__doc__


def load(
    repo_or_dir: Any,
    model: str,
    *args: Any,
    source: str = "github",
    trust_repo: Any = None,
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    **kwargs: Any,
) -> Any:
    """model(*args, **kwargs) of the hubconf.py in a folder (source="local"). RuntimeError for
    source="github", for missing dependencies and for unknown models."""
    return _entry(_hubconf(repo_or_dir, source), model)(*args, **kwargs)


__all__ = [
    "download_url_to_file",
    "get_dir",
    "help",
    "list",
    "load",
    "load_state_dict_from_url",
    "set_dir",
]

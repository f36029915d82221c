"""Options and fixtures of the whole suite: golden files, and the seed of the random programs.

Plain `pytest` is the quick suite; `pytest -m fuzz` draws random programs from a fresh seed that the
header prints, and `--fuzz-seed N` repeats them. `--update-golden` rewrites golden files.
"""

import secrets
from pathlib import Path

import pytest


def pytest_addoption(parser):
    group = parser.getgroup("graphc")
    group.addoption("--update-golden", action="store_true", help="rewrite the golden files")
    group.addoption("--fuzz-seed", type=int, default=None, help="seed of the fuzz tests")
    group.addoption("--fuzz-count", type=int, default=500, help="random programs per fuzz test")


def pytest_configure(config):
    if hasattr(config, "workerinput"):  # an xdist worker takes the controller's seed
        config.option.fuzz_seed = config.workerinput["fuzz_seed"]
    elif config.option.fuzz_seed is None:
        config.option.fuzz_seed = secrets.randbits(32)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["fuzz_seed"] = node.config.option.fuzz_seed


def pytest_report_header(config):
    return f"fuzz seed: {config.option.fuzz_seed} (repeat with --fuzz-seed)"


@pytest.fixture
def fuzz_seed(request) -> int:
    """The seed of this run's random programs."""
    return request.config.option.fuzz_seed


@pytest.fixture
def fuzz_count(request) -> int:
    """How many random programs a fuzz test draws."""
    return request.config.option.fuzz_count


@pytest.fixture
def golden(request):
    """`golden(name, text)` compares `text` with golden/<name> beside the test file."""

    def check(name: str, text: str) -> None:
        path = Path(request.path).parent / "golden" / name
        text = text if text.endswith("\n") else text + "\n"
        if request.config.option.update_golden:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            pytest.fail(f"no golden file {path.name}: write it with pytest --update-golden")
        assert text == path.read_text(encoding="utf-8"), f"{path.name} (pytest --update-golden)"

    return check

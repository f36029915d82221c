"""The README holds: its Python blocks print what it shows, its links and commands exist, and what
it calls missing is missing. `pytest tests/e2e/test_readme.py --update-golden` writes the outputs
anew."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
BLOCKS = list(BLOCK.finditer(TEXT))


def run(source: str, folder: Path) -> str:
    """What a block prints as the file example.py, in a process of its own."""
    (folder / "example.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=folder,
        text=True,
        timeout=300,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines()) + "\n"


@pytest.mark.parametrize("i", range(len(BLOCKS)))
def test_block_prints_what_is_shown(i, tmp_path, request):
    source, shown = BLOCKS[i].groups()
    printed = run(source, tmp_path)
    if request.config.option.update_golden and shown is not None:
        text = README.read_text(encoding="utf-8")
        block = f"```python\n{source}```\n\n```text\n"
        assert text.count(block) == 1
        README.write_text(
            text.replace(f"{block}{shown}```", f"{block}{printed}```"), encoding="utf-8"
        )
    elif shown is not None:
        assert printed == shown


def test_compiling_changes_no_bit_of_the_first_block(tmp_path):
    """The comment in it is true."""
    source = BLOCKS[0].group(1)
    line = next(x for x in source.splitlines() if x.startswith("@torch.compile"))
    exact = source.replace(":.6f}", "!r}")
    assert run(exact, tmp_path) == run(exact.replace(line + "\n", ""), tmp_path)


def test_links_lead_somewhere():
    """Relative links exist; there are no others, apart from the DOI in plain text."""
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_commands_are_the_checked_ones():
    """The two commands stand in the README as .ci/run runs them."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install . && python -m graphc demo" in TEXT
    assert "pip install -q . && timeout 600 python -m graphc demo" in ci
    assert (
        "pip install -e '.[test]' && pytest" in TEXT
        and "pip install -q -e '.[test]' && pytest" in ci
    )
    for command in re.findall(r"^python (\S+\.py)", TEXT, re.M):
        assert (ROOT / command).is_file()


def test_what_is_missing_is_missing():
    """When one of these arrives, take it out of the README's list."""
    import graphc

    listed = TEXT.split("- Not there yet:")[1].split("\n- ")[0]
    for name in re.findall(r"`([\w.]+)`", listed):
        found = graphc
        for part in name.split("."):
            found = getattr(found, part, None)
        assert found is None, f"graphc.{name} is there: take it out of the README's list"
    with pytest.raises(AssertionError, match="not compiled with CUDA"):
        graphc.ones(2, device="cuda")

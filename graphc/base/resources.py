"""Where the native sources (`runtime/`) and the code templates (`codegen_templates/`) lie.

An installed wheel carries both under `graphc/_data/`; a checkout or an editable install has them
beside the package. A folder counts only if its marker file is there, so that a stray folder of the
same name is never taken.
"""

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def runtime_dir() -> Path:
    """The folder with `include/*.h` and `src/*.c` of the native library."""
    return _find("runtime", "GRAPHC_RUNTIME")


def templates_dir() -> Path:
    """The folder with the jinja2 templates of generated programs."""
    return _find("codegen_templates", "GRAPHC_TEMPLATES")


@cache
def _find(folder: str, marker: str) -> Path:
    candidates = [_PACKAGE / "_data" / folder, _PACKAGE.parent / folder]
    for path in candidates:
        if (path / marker).is_file():
            return path
    looked = " and ".join(str(path) for path in candidates)
    raise FileNotFoundError(
        f"graphc is installed without its {folder}/ folder (looked for {marker} in {looked}); "
        "reinstall graphc"
    )

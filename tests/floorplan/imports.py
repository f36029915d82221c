"""The imports of a package as a graph: takes source files, gives (importer, imported) edges.

Every `import` statement counts, those inside functions too, and so do literal names given to
`import_module` and `__import__`. Imports under `if TYPE_CHECKING` are marked: they never run.
"""

import ast
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """`importer` needs `imported` (module names), as line `line` says."""

    importer: str
    imported: str
    line: int
    typing_only: bool


def modules(package: Path) -> dict[str, Path]:
    """Module name -> file, for every Python file of the package."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, known: dict[str, Path]) -> list[Import]:
    """The imports that the module `name` makes of modules in `known`."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = []
    for node in ast.walk(tree):
        for target in _targets(node, package):
            module = target
            while module and module not in known:  # `from m import f`: f is no module, m is
                module = module.rpartition(".")[0]
            if module and module != name:
                found.append(Import(name, module, node.lineno, id(node) in typing_only))
    return found


def _targets(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = package.split(".")
        base = base[: len(base) - node.level + 1] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        return [source if alias.name == "*" else f"{source}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = ast.unparse(node.func)
        if called in ("__import__", "import_module", "importlib.import_module"):
            target = str(node.args[0].value)
            return [package + target if target.startswith(".") else target]
    return []

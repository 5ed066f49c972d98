"""The project's own files, and what each of them imports."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CORE = sorted((ROOT / "herl_bench").rglob("*.py"))
BUILT_IN = sorted((ROOT / "plugins").rglob("*.py"))


def find_imports(path):
    """(module, line) of everything a file imports, inside functions and under TYPE_CHECKING too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            found += ((alias.name, node.lineno) for alias in node.names)
    return found

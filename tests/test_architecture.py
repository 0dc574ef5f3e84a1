"""The shape of the code: layers, doors, sizes. A rule that is not checked does not last."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 400

# Which modules may import a library: those that are named, and what is inside of them.
DOORS = {
    "alembic": ("agentos.store",),
    "apscheduler": ("agentos.cron",),
    "claude_agent_sdk": (
        "agentos.backends.claude",
        "agentos.backends.claude_outcome",
        "agentos.backends.claude_tools",
    ),
    "dotenv": ("agentos.config",),
    "filetype": ("agentos.frontdesk.contents",),
    "jinja2": ("agentos.prompts", "agentos.demo.page"),
    "markupsafe": ("agentos.demo.page",),
    "lancedb": ("agentos.memory",),
    "pydantic_settings": ("agentos.config", "agentos.settings"),
    "pyromark": ("agentos.channels.telegram.markdown",),
    "rich": ("agentos.cli", "agentos.demo", "pm"),
    "sentence_transformers": ("agentos.memory",),
    "sqlalchemy": ("agentos.store", "agentos.domain"),
    "sqlmodel": ("agentos.store", "agentos.domain"),
    "starlette": ("agentos.standins", "agentos.loopback", "agentos.backends.gateway"),
    "structlog": ("agentos.log",),
    "telegram": ("agentos.channels.telegram",),
    "tokenizers": ("agentos.memory",),
    "torch": ("agentos.memory",),
    "typer": ("agentos.cli", "agentos.demo", "pm"),
    "uvicorn": ("agentos.standins", "agentos.loopback"),
    "yaml": ("agentos.skills", "agentos.cron"),
}
# A transaction and a row have types; those who hand them through name them and ask them nothing.
HANDED_THROUGH = {("sqlalchemy", "Connection"), ("sqlmodel", "SQLModel")}
# A stand-in plays a far end: its texts are answers, not prompts.
WITHOUT_PROMPTS = ("agentos.standins",)


def modules() -> Iterator[tuple[str, Path]]:
    """The name and the file of each module of the product."""
    for top in ("agentos", "pm"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def inside(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each import as library and name; the name is empty when the whole module is taken."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            library = node.module.partition(".")[0]
            yield from ((library, alias.name) for alias in node.names)


def texts(tree: ast.AST) -> Iterator[str]:
    """The string constants of a module that are not docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node.value


def parsed() -> Iterator[tuple[str, ast.Module]]:
    for module, path in modules():
        yield module, ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_imports_point_down_and_every_module_has_a_layer() -> None:
    code = "from importlinter.cli import lint_imports_command as run; run()"
    linted = run_python(code, "--no-cache")
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "0 broken" in linted.stdout


def test_each_library_has_one_door() -> None:
    past_the_door = [
        f"{module} imports {name or library} of {library}"
        for module, tree in parsed()
        for library, name in imported(tree)
        if library in DOORS
        and not inside(module, DOORS[library])
        and (library, name) not in HANDED_THROUGH
    ]
    assert past_the_door == []


def test_sql_is_spoken_in_the_store_alone() -> None:
    spoken = [
        f"{module}:{node.lineno}"
        for module, tree in parsed()
        if not inside(module, ("agentos.store",))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("connection", "session")
        and node.func.attr in ("execute", "exec", "scalar", "scalars", "exec_driver_sql")
    ]
    assert spoken == []


def test_prompts_are_files_and_not_strings() -> None:
    to_a_model = re.compile(r"\b[Yy]ou are (a|an|the)\b|\b(your|Your) task is\b|\bAs an AI\b")
    prompts = [
        f"{module}: {text[:60]!r}"
        for module, tree in parsed()
        if not inside(module, WITHOUT_PROMPTS)
        for text in texts(tree)
        if to_a_model.search(text) or len(text) > 600
    ]
    assert prompts == []


def test_no_module_is_longer_than_a_few_screens() -> None:
    # A migration is a record of what happened once, not a module that anybody works on.
    lengths = {
        module: len(path.read_text().splitlines())
        for module, path in modules()
        if not inside(module, ("agentos.store.migrations.versions",))
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_every_module_can_be_imported_and_says_what_it_is_for() -> None:
    names = [module for module, _ in modules() if "migrations" not in module]
    done = run_python(
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "late = {'torch', 'lancedb', 'sentence_transformers'} & set(sys.modules)\n"
        "sys.exit(f'imported by something: {late}' if late else 0)",
        *(name for name in names if not inside(name, ("agentos.memory",))),
    )
    assert done.returncode == 0, done.stderr
    silent = [module for module, tree in parsed() if tree.body and ast.get_docstring(tree) is None]
    assert silent == []


def test_the_daemon_does_not_import_what_only_its_children_need() -> None:
    done = run_python(
        "import sys, agentos.app\n"
        "sys.exit(' '.join({'claude_agent_sdk', 'mcp'} & set(sys.modules)))"
    )
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("module", ["pm.cli", "agentos.cli"])
def test_a_command_starts_without_the_heavy_imports(module: str) -> None:
    done = run_python(
        f"import sys, {module}\n"
        "sys.exit(' '.join({'sqlalchemy', 'pydantic', 'telegram'} & set(sys.modules)))"
    )
    assert done.stderr.strip() == ""

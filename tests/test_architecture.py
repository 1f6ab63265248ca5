"""The rooms keep their doors shut: who imports whom, and what the pure core may touch, read from the source."""

import ast
import builtins
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"
FILES = sorted((SRC / "headgate").rglob("*.py"))

MAX_LINES = 300  # lines; style page: "about 300"
#: Longer for a reason; each with the room it may take.
LONG = {
    "headgate.claims.rocksdb": 340,
    "headgate.testing.lake_suite": 335,
    "headgate.ports": 330,
}

PURE = {"headgate.core", "headgate.records", "headgate.errors", "headgate.ports", "headgate.__version__"}
CORE_LIBRARIES = {
    "__future__", "bisect", "collections", "contextlib", "dataclasses", "datetime", "duckdb", "enum", "functools",
    "gzip", "hashlib", "hmac", "io", "itertools", "json", "math", "msgspec", "numpy", "operator", "pyarrow", "re",
    "struct", "typing", "unicodedata", "urllib", "xxhash", "zlib", "zstandard",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "exec", "eval"}
IMPURE_ATTRIBUTES = {("datetime", "now"), ("datetime", "today"), ("datetime", "utcnow"), ("date", "today")}

#: Rooms whose classes only `wiring` (and `entrypoints`, `jobs`, `testing`) may know.
ADAPTERS = ("headgate.claims", "headgate.lake", "headgate.source")
#: Rooms that may import adapters: each with why.
MAY_IMPORT_ADAPTERS = {
    "headgate.wiring": "puts the classes together",
    "headgate.entrypoints": "status, query and doctor look at a lake without a flow",
    "headgate.jobs": "work on the lake's files, not in the flow",
    "headgate.report": "reads the lake's tables",
    "headgate.testing": "fakes and suites of the adapters",
}
#: Imports between adapters' rooms, or inside a function, one by one.
BETWEEN_ADAPTERS: set[tuple[str, str]] = set()
LATE_IMPORTS = {"rich", "rocksdict", "difflib", "duckdb", "deltalake", "msgspec", "pyarrow", "headgate"}
LATE_IN = (
    "headgate.entrypoints",  # `headgate --help` must be quick
    "headgate.jobs.ledger_proof",
    "headgate.lake.opening",  # S3, Kinesis, Redis and DynamoDB are extras of the package
    "headgate.wiring",
)

BROAD_EXCEPT = {
    "headgate.claims.buckets": "rocksdict raises bare Exception for every status of RocksDB",
    "headgate.ahead": "the error is raised again in the consumer's thread",
    "headgate.telemetry.tee": "a log, metric or trace that fails must not stop the flow, whatever it raises",
}
PRINTS = ("headgate.entrypoints", "headgate.telemetry")
READS_ENVIRONMENT = ("headgate.config", "headgate.testing")  # testing: hands it on to child processes


def name_of(path):
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): ast.parse(path.read_text(), str(path)) for path in FILES}


def is_in(module, rooms):
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def targets(module, node):
    """The modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        full = [f"{base}.{alias.name}" for alias in node.names]
        return [name if name in MODULES or name == "headgate.__version__" else base for name in full]
    return []


def imports(module, *, is_top_only=False):
    tree = MODULES[module]
    nodes = tree.body if is_top_only else ast.walk(tree)
    return [(node, name) for node in nodes for name in targets(module, node)]


def of_headgate(module, **kw):
    return {name for _, name in imports(module, **kw) if name.split(".")[0] == "headgate"} - {module}


def test_there_is_something_to_check():
    assert len(MODULES) > 50


@pytest.mark.parametrize("module", [m for m in MODULES if is_in(m, ["headgate.core"])])
def test_the_core_imports_only_what_is_pure(module):
    for _, name in imports(module):
        top = name.split(".")[0]
        assert is_in(name, PURE) if top == "headgate" else top in CORE_LIBRARIES, name


@pytest.mark.parametrize("module", [m for m in MODULES if is_in(m, ["headgate.core"])])
def test_the_core_neither_opens_files_nor_asks_the_clock(module):
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in IMPURE_CALLS, ast.unparse(node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in IMPURE_ATTRIBUTES, ast.unparse(node)


@pytest.mark.parametrize("module", MODULES)
def test_adapters_are_known_to_few(module):
    for name in of_headgate(module):
        room = next((room for room in ADAPTERS if is_in(name, [room])), None)
        if room is None or is_in(module, [room]) or is_in(module, MAY_IMPORT_ADAPTERS):
            continue
        assert (module, name) in BETWEEN_ADAPTERS, f"{module} imports {name}"


def test_the_flow_knows_no_adapter():
    for module in ("headgate.pipeline", "headgate.consumer", "headgate.recover", "headgate.ahead"):
        assert not [name for name in of_headgate(module) if is_in(name, ADAPTERS)]


@pytest.mark.parametrize("module", [m for m in MODULES if not is_in(m, ["headgate.testing"])])
def test_nothing_but_commands_uses_the_testing_kit(module):
    names = [name for name in of_headgate(module) if is_in(name, ["headgate.testing"])]
    assert not names or is_in(module, ["headgate.entrypoints", "headgate.jobs"]), names


def test_no_imports_go_in_a_circle():
    graph = {module: of_headgate(module) & MODULES.keys() for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", MODULES)
def test_imports_inside_functions_are_heavy_ones_of_commands(module):
    top = {id(node) for node in MODULES[module].body}
    for node in MODULES[module].body:
        if isinstance(node, ast.If):  # `if TYPE_CHECKING:`
            top |= {id(inner) for inner in node.body}
    for node, name in imports(module):
        if id(node) not in top:
            assert is_in(module, LATE_IN), f"{module} imports {name} inside a function"
            assert name.split(".")[0] in LATE_IMPORTS, name


@pytest.mark.parametrize("module", MODULES)
def test_errors_are_caught_by_name(module):
    if is_in(module, ["headgate.entrypoints", *BROAD_EXCEPT]):
        return
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in ("Exception", "BaseException", "everything"), f"line {node.lineno}"


@pytest.mark.parametrize("module", [m for m in MODULES if not is_in(m, READS_ENVIRONMENT)])
def test_only_the_configuration_reads_the_environment(module):
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb"):
            pytest.fail(f"line {node.lineno}")


@pytest.mark.parametrize("module", [m for m in MODULES if not is_in(m, PRINTS)])
def test_nothing_prints_but_commands_and_telemetry(module):
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_says_what_lives_in_it_and_stays_short(path):
    text = path.read_text()
    docstring = ast.get_docstring(MODULES[name_of(path)])
    assert docstring
    assert docstring.splitlines()[0].strip()
    assert text.count("\n") <= LONG.get(name_of(path), MAX_LINES)


def test_exceptions_to_the_rules_are_still_needed():
    assert BROAD_EXCEPT.keys() <= MODULES.keys()
    for module in LONG:
        assert (SRC / (module.replace(".", "/") + ".py")).read_text().count("\n") > MAX_LINES, module
    assert all(hasattr(builtins, name) for name in IMPURE_CALLS)

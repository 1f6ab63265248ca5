"""What the infrastructure says of the code is so: settings, handlers, commands, columns, formats; and its own pages."""

import re
import shutil
from pathlib import Path

import pytest
from checks import columns, hcl, names, readme, terraform
from infrastructure_files import ROOT

DESIGNS = sorted((ROOT / "designs").iterdir())


def test_settings_handlers_and_commands_exist():
    files = names.files(ROOT)
    assert len(files) > 60
    assert [problem for file in files for problem in names.unknown(file)] == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.tf", 'x = { HEADGATE__LAKE__URL = "s3://a/b" }\n', "there is no setting HEADGATE__LAKE__URL"),
        ("a.tf", 'handler = "headgate.entrypoints.aws_lambda.handel"\n', "there is no handler"),
        ("a.tf", 'handler = "headgate.entrypoints.gcp.handler"\n', "there is no handler"),
        ("a.tf", 'command = ["rum", var.uri]\n', "there is no command headgate rum"),
        ("a.tf", 'command = ["run", var.uri, "--folow"]\n', "headgate run has no option --folow"),
        ("a.tf", 'commands = var.a ? ["build", "compakt"] : ["build"]\n', "there is no command headgate compakt"),
        ("Dockerfile", "ENV HEADGATE_CONFIGURATION=/a\n", "there is no setting HEADGATE_CONFIGURATION"),
        ("Dockerfile", 'ENTRYPOINT ["headgate"]\nCMD ["--hulp"]\n', "headgate --hulp has no option --hulp"),
        ("Dockerfile", 'ENTRYPOINT ["hedgate"]\n', "there is no program hedgate"),
    ],
)
def test_a_name_that_the_code_does_not_know_is_found(tmp_path, name, text, problem):
    file = tmp_path / name
    file.write_text(text)
    assert [found for found in names.unknown(file) if problem in found]


@pytest.mark.parametrize("folder", DESIGNS, ids=lambda folder: folder.name)
def test_the_configuration_of_a_design_loads_and_agrees_with_its_terraform(folder, modules):
    design, config = modules[folder.resolve()], names.configured(folder)
    assert config.lake.format == design.modules["lake"]["format"]
    assert config.dedup.window_us == design.variables["window_hours"]["default"] * 3_600_000_000


@pytest.mark.parametrize("folder", DESIGNS, ids=lambda folder: folder.name)
def test_claims_functions_and_jobs_of_a_design_are_told_one_window(folder, modules):
    called = modules[folder.resolve()].modules
    assert called["claims"]["window_hours"] == "${var.window_hours}"
    assert {called[name]["dedup_window"] for name in ("ingest", "job")} == {"${module.claims.window}"}
    assert called["job"]["settings"] == {"HEADGATE__SOURCE__RETENTION": "${module.stream.retention}"}


@pytest.mark.parametrize("folder", DESIGNS, ids=lambda folder: folder.name)
def test_zones_first_date_and_nodes_of_a_design_are_its_own(folder, modules):
    design = modules[folder.resolve()]
    assert design.modules["network"]["zones"] == "${var.zones}"
    assert design.variables["zones"]["default"] == ["a", "b"]
    is_listed = design.modules["lake"]["format"] != "delta"  # a Delta table's log knows its dates
    assert design.modules["lake"].get("first_date") == ("${var.first_date}" if is_listed else None)
    if design.modules["claims"]["kind"] == "redis":
        assert design.modules["observability"]["claims_server"] == "${module.claims.server}"


@pytest.mark.parametrize("name", ["ingest-lambda", "ingest-firehose", "ingest-service", "nightly-job"])
def test_what_asks_for_claims_is_told_the_window(name):
    text = (ROOT / "modules" / name / "main.tf").read_text()
    assert re.search(r"HEADGATE__DEDUP__WINDOW\s*= var\.dedup_window\b", text)


@pytest.mark.parametrize("folder", DESIGNS, ids=lambda folder: folder.name)
def test_environments_differ_in_values_only(folder, modules):
    dev, prod = (names.assigned(folder / f"{name}.tfvars") for name in ("dev", "prod"))
    variables = modules[folder.resolve()].variables
    assert dev == prod
    assert dev <= variables.keys()
    assert {name for name, body in variables.items() if "default" not in body and not body.get("sensitive")} <= dev


def test_the_columns_in_the_catalog_are_those_of_the_tables():
    assert columns.TARGET.read_text() == columns.text()


def test_every_variable_and_output_is_described_and_typed(modules):
    for module in modules.values():
        for name, body in module.variables.items():
            assert body.get("description"), f"{module.path.name}: {name}"
            assert body.get("type"), f"{module.path.name}: {name}"
        for name, body in module.outputs.items():
            assert body.get("description"), f"{module.path.name}: {name}"


def test_the_page_of_a_module_is_made_from_its_files(modules):
    for module in modules.values():
        if module.path.parent.name == "modules":
            assert (module.path / "README.md").read_text() == readme.text(module), module.path.name


def test_the_page_of_a_module_changes_with_its_variables(tmp_path):
    shutil.copytree(ROOT / "modules" / "key", tmp_path / "key")
    before = readme.text(hcl.read(tmp_path / "key"))
    file = tmp_path / "key" / "variables.tf"
    file.write_text(file.read_text().replace('"deletion_window_days"', '"deletion_days"'))
    assert readme.text(hcl.read(tmp_path / "key")) != before


def test_every_module_and_design_says_what_it_was_checked_with_and_modules_have_tests():
    for folder in hcl.folders(ROOT):
        assert 'version = "~> 5.100"' in (folder / "versions.tf").read_text()
        if folder.parent.name == "modules":
            assert list((folder / "tests").glob("*.tftest.hcl")), folder.name


def test_the_mirror_is_looked_for_where_it_is_said_to_be(tmp_path):
    assert terraform.mirror_of({"TF_PLUGIN_MIRROR": str(tmp_path)}) is None
    (tmp_path / terraform.PROVIDER / "5.100.0").mkdir(parents=True)
    assert terraform.mirror_of({"TF_PLUGIN_MIRROR": str(tmp_path)}) == Path(tmp_path).resolve()

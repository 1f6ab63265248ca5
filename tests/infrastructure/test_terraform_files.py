"""Terraform files against the provider's schema and one another, without Terraform; broken ones are found."""

import pytest
from checks import extract, hcl, policies, static
from infrastructure_files import ROOT

MODULES = sorted(path for path in (ROOT / "modules").iterdir())
DESIGNS = sorted(path for path in (ROOT / "designs").iterdir())
TF = sorted(path for path in ROOT.glob("*/*/*.tf"))
REQUIRED = {
    "stream",
    "ingest-lambda",
    "ingest-firehose",
    "ingest-service",
    "claims",
    "lake",
    "nightly-job",
    "observability",
}


def problems_of(folder, text):
    (folder / "main.tf").write_text(text)
    return static.problems({folder.resolve(): hcl.read(folder)}, extract.load())


def test_all_files_agree_with_the_schema_and_one_another(modules):
    assert {path.name for path in MODULES} >= REQUIRED
    assert len(DESIGNS) == 5
    assert static.problems(modules, extract.load()) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('resource "aws_sqs_quue" "a" {\n}\n', "no resource of the type aws_sqs_quue"),
        ('resource "aws_sqs_queue" "a" {\n  nmae = "x"\n}\n', "unknown argument nmae"),
        ('resource "aws_sqs_queue" "a" {\n  url = "x"\n}\n', "url is computed and cannot be set"),
        ('resource "aws_kms_alias" "a" {\n}\n', "missing argument target_key_id"),
        ('resource "aws_sqs_queue" "a" {\n  limits {\n    a = 1\n  }\n}\n', "unknown block limits"),
        (
            'resource "aws_ecs_cluster" "a" {\n  name = "a"\n  setting {\n    nam = "a"\n  }\n}\n',
            "unknown argument setting.nam",
        ),
        (
            'resource "aws_ecs_cluster" "a" {\n  name = "a"\n  setting {\n    name = "a"\n  }\n}\n',
            "missing argument setting.value",
        ),
        (
            'resource "aws_ecs_cluster" "a" {\n  name = "a"\n  dynamic "seting" {\n    for_each = [1]\n    content {\n'
            '      name = "a"\n    }\n  }\n}\n',
            "unknown block seting",
        ),
        ('output "a" {\n  value = var.missing\n}\n', "var.missing is not declared"),
        ('output "a" {\n  value = "x-${local.missing}"\n}\n', "local.missing is not declared"),
        ('output "a" {\n  value = aws_sqs_queue.missing.arn\n}\n', "aws_sqs_queue.missing is not declared"),
        (
            'data "aws_region" "a" {\n}\noutput "a" {\n  value = data.aws_region.b.name\n}\n',
            "aws_region.b is not declared",
        ),
        ('resource "aws_sqs_queue" "a" {\n}\noutput "a" {\n  value = aws_sqs_queue.a.arm\n}\n', "has no attribute arm"),
        ('module "a" {\n  source = "../nowhere"\n}\n', "there is no folder ../nowhere"),
        ('variable "a" {\n  type = string\n}\n', "variable a is never used"),
    ],
)
def test_a_broken_file_is_found(tmp_path, text, problem):
    assert [found for found in problems_of(tmp_path, text) if problem in found]


def test_a_call_with_unknown_missing_and_unread_variables_is_found(tmp_path):
    called, calling = tmp_path / "called", tmp_path / "calling"
    for folder in (called, calling):
        folder.mkdir()
    (called / "main.tf").write_text('variable "a" {\n}\noutput "b" {\n  value = var.a\n}\n')
    (calling / "main.tf").write_text(
        'module "m" {\n  source = "../called"\n  c = 1\n}\noutput "d" {\n  value = module.m.e\n}\n'
    )
    found = static.problems({folder.resolve(): hcl.read(folder) for folder in (called, calling)}, extract.load())
    assert [text.partition(": ")[2] for text in found] == [
        "module m: unknown variable c",
        "module m: missing variable a",
        "module.m has no output e",
    ]


@pytest.mark.parametrize(
    "text", ["a = {\n", 'output "a" {\n  value = 1\n}\noutput "a" {\n  value = 2\n}\n', "moved {\n}\n"]
)
def test_what_cannot_be_read_is_an_error(tmp_path, text):
    (tmp_path / "main.tf").write_text(text)
    with pytest.raises(ValueError, match=r"main\.tf"):
        hcl.read(tmp_path)


def test_references_in_comments_and_plain_texts_are_none():
    code = hcl.code_of('# var.a\nx = "var.b ${var.c} // var.d" // var.e\ny = "s3://${var.f}/#" # "\n')
    assert [name for name in "abcdef" if f"var.{name}" in code] == ["c", "f"]


def test_no_policy_has_a_wildcard_action_on_a_wildcard_resource():
    statements = [one for file in TF for one in policies.written(file)]
    assert len(statements) > 30
    assert [one for one in statements if one.is_wild] == []


@pytest.mark.parametrize(
    ("action", "resource"),
    [('"s3:*"', '"*"'), ('["s3:Get*"]', '["*"]'), ('"*"', '"*"'), ('"s3:*"', '"arn:aws:s3:::*"')],
)
def test_a_policy_that_is_wide_open_is_found(tmp_path, action, resource):
    file = tmp_path / "main.tf"
    file.write_text(
        'resource "aws_iam_role_policy" "a" {\n  policy = jsonencode({ Statement = [\n    { Effect = "Allow", '
        f"Action = {action}, Resource = {resource} }},\n  ] }})\n}}\n"
    )
    assert [one.is_wild for one in policies.written(file)] == [True]


def test_a_statement_that_cannot_be_read_is_an_error(tmp_path):
    file = tmp_path / "main.tf"
    file.write_text('locals {\n  effect = { Effect = "Allow" }\n}\n')
    with pytest.raises(ValueError, match="write the statement as one object"):
        policies.written(file)


def test_the_policies_of_an_applied_state_are_read_in_all_its_modules():
    policy = (
        '{"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, {"Effect": "Deny", "Action": "*"}]}'
    )
    child = {"resources": [{"address": "module.a.b.c", "values": {"policy": policy}}]}
    state = {"values": {"root_module": {"resources": [{"address": "x.y", "values": {}}], "child_modules": [child]}}}
    assert [(one.where, one.is_wild) for one in policies.applied(state)] == [("module.a.b.c", True)]

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "headgate-test"
  image_uri   = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  handler     = "headgate.entrypoints.aws_lambda.handler"
  environment = { HEADGATE__LAKE__URI = "s3://bucket/lake" }
  policies    = {}
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "function_is_the_image_with_a_handler_and_its_own_log" {
  assert {
    condition     = aws_lambda_function.this.package_type == "Image" && aws_lambda_function.this.image_config[0].command == tolist(["headgate.entrypoints.aws_lambda.handler"])
    error_message = "The handler is the image's command."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.logs.policy).Statement[0].Resource == "${aws_cloudwatch_log_group.this.arn}:*"
    error_message = "It may write into its own log group only."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.retention_in_days == 30 && aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arn
    error_message = "Logs end, and are encrypted."
  }

  assert {
    condition     = length(aws_lambda_function.this.vpc_config) == 0 && length(aws_iam_role_policy.this) == 0
    error_message = "No network unless it is asked for."
  }
}

run "network_brings_its_rights" {
  variables {
    network = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  assert {
    condition     = alltrue([for action in jsondecode(aws_iam_role_policy.this["network"].policy).Statement[0].Action : startswith(action, "ec2:") && !endswith(action, "*")])
    error_message = "Named actions of EC2 only."
  }
}

run "image_must_not_move" {
  command = plan

  variables {
    image_uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate:latest"
  }

  expect_failures = [var.image_uri]
}

run "settings_must_be_headgates_and_the_handler_known" {
  command = plan

  variables {
    environment = { AWS_SECRET_ACCESS_KEY = "x" }
    handler     = "headgate.main"
  }

  expect_failures = [var.environment, var.handler]
}

run "numbers_have_limits" {
  command = plan

  variables {
    memory_mb            = 256
    timeout_seconds      = 5
    reserved_concurrency = 0
    log_retention_days   = 8
    ephemeral_mb         = 100
    architecture         = "mips"
  }

  expect_failures = [
    var.memory_mb, var.timeout_seconds, var.reserved_concurrency, var.log_retention_days, var.ephemeral_mb, var.architecture,
  ]
}

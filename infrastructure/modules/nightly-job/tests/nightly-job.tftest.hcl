mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name          = "headgate-test"
  image_uri     = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  lake_uri      = "s3://headgate-lake/lake"
  lake_format   = "delta"
  delivered_uri = "s3://headgate-deliveries/delivered"
  dedup_uri     = "dynamodb://headgate-claims"
  dedup_window  = "720h"
  policies      = {}
  kms_key_arn   = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  topic_arn     = "arn:aws:sns:eu-west-1:123456789012:alarms"
  network       = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"], has_public_address = true }
}

run "job_builds_then_compacts_at_midnight" {
  assert {
    condition     = jsonencode(output.containers[*].command) == jsonencode([["build", "s3://headgate-lake/lake"], ["compact", "s3://headgate-lake/lake"]])
    error_message = "Build, then compact."
  }

  assert {
    condition     = aws_scheduler_schedule.this.schedule_expression == "cron(0 0 * * ? *)" && aws_scheduler_schedule.this.schedule_expression_timezone == "UTC"
    error_message = "Midnight of UTC."
  }

  assert {
    condition     = contains(output.containers[0].environment[*].name, "HEADGATE__FIREHOSE__DELIVERED")
    error_message = "Build files what Firehose delivered."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.schedule.policy).Statement[1].Condition.StringEquals["iam:PassedToService"] == "ecs-tasks.amazonaws.com"
    error_message = "Roles are given to tasks only."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.failed[0].event_pattern).detail["$or"][0].containers.exitCode[0]["anything-but"][0] == 0
    error_message = "A job that fails is heard of."
  }
}

run "job_is_told_the_window" {
  assert {
    condition     = alltrue([for container in output.containers : one([for setting in container.environment : setting.value if setting.name == "HEADGATE__DEDUP__WINDOW"]) == "720h"])
    error_message = "The window that the claims are kept for."
  }
}

run "plain_folders_are_not_compacted" {
  variables {
    lake_format   = "parquet"
    delivered_uri = null
  }

  assert {
    condition     = jsonencode(output.containers[*].name) == jsonencode(["build"])
    error_message = "Only Delta compacts."
  }
}

run "silence_must_be_meant" {
  command = plan

  variables {
    topic_arn        = null
    schedule         = "midnight"
    dedup_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:redis-AbCdEf"
  }

  expect_failures = [var.topic_arn, var.schedule, var.dedup_uri]
}

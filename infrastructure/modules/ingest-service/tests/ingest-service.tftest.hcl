mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name         = "headgate-test"
  image_uri    = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  stream       = { name = "events", retention = "48h" }
  lake_uri     = "s3://headgate-lake/lake"
  lake_format  = "delta"
  dedup_uri    = "dynamodb://headgate-claims"
  dedup_window = "720h"
  policies     = {}
  kms_key_arn  = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  network      = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"], has_public_address = true }
}

run "old_consumer_ends_before_the_new_one_begins" {
  assert {
    condition     = aws_ecs_service.this.deployment_maximum_percent == 100 && aws_ecs_service.this.deployment_minimum_healthy_percent == 0
    error_message = "Never two versions at once."
  }

  assert {
    condition     = jsonencode(output.containers[0].command) == jsonencode(["run", "kinesis://events", "s3://headgate-lake/lake", "--follow"])
    error_message = "It runs over the stream."
  }

  assert {
    condition     = aws_ecs_service.this.desired_count == 1 && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "One consumer; a version that does not start is taken back."
  }
}

run "task_is_told_the_window" {
  assert {
    condition     = one([for setting in output.containers[0].environment : setting.value if setting.name == "HEADGATE__DEDUP__WINDOW"]) == "720h"
    error_message = "The window that the claims are kept for."
  }
}

run "store_with_a_password_is_a_secret" {
  variables {
    dedup_uri        = null
    dedup_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:redis-AbCdEf"
  }

  assert {
    condition     = !contains(output.containers[0].environment[*].name, "HEADGATE__DEDUP__STORE") && output.containers[0].secrets[0].name == "HEADGATE__DEDUP__STORE"
    error_message = "The password is in no environment."
  }
}

run "password_in_the_open_is_refused" {
  command = plan

  variables {
    dedup_uri = "rediss://:password@host:6379/0"
    consumers = 5
  }

  expect_failures = [var.dedup_uri, var.consumers]
}

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "headgate-test"
}

run "key_rotates_and_lets_only_this_accounts_logs_and_alarms_in" {
  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key must rotate."
  }

  assert {
    condition     = alltrue([for one in jsondecode(aws_kms_key.this.policy).Statement : !strcontains(jsonencode(one.Action), "*")])
    error_message = "Actions are listed one by one."
  }

  assert {
    condition     = alltrue([for one in jsondecode(aws_kms_key.this.policy).Statement : can(one.Condition) || can(one.Principal.AWS) || one.Sid == "EventsToAnEncryptedTopic"])
    error_message = "A service uses the key on a condition only, EventBridge apart, which sends nothing to ask for."
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[1].Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"][1] == "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/*"
    error_message = "The functions' log groups need the key."
  }
}

run "name_must_be_one" {
  command = plan

  variables {
    name = "Headgate"
  }

  expect_failures = [var.name]
}

run "deletion_is_not_at_once" {
  command = plan

  variables {
    deletion_window_days = 1
  }

  expect_failures = [var.deletion_window_days]
}

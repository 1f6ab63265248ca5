mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "headgate-test"
  image_uri   = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  containers  = [{ name = "build", command = ["build", "s3://b/lake"] }, { name = "compact", command = ["compact", "s3://b/lake"] }]
  environment = { HEADGATE__LOG__FORMAT = "json" }
  policies    = {}
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "containers_run_one_after_the_other" {
  assert {
    condition     = output.containers[0].essential == false && output.containers[1].essential == true
    error_message = "The last container is the task."
  }

  assert {
    condition     = output.containers[1].dependsOn[0].containerName == "build" && output.containers[1].dependsOn[0].condition == "SUCCESS"
    error_message = "The second one waits for the first to succeed."
  }

  assert {
    condition     = toset(output.containers[0].environment[*].name) == toset(["HEADGATE__LOG__FORMAT", "HEADGATE__AWS__REGION", "HEADGATE__STORAGE__REGION"])
    error_message = "A task is told its region."
  }

  assert {
    condition     = output.containers[0].stopTimeout == 120
    error_message = "Time to drain."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.execution.policy).Statement[1].Resource == "arn:aws:ecr:eu-west-1:123456789012:repository/headgate"
    error_message = "It may fetch its own image only."
  }
}

run "secrets_are_read_by_name" {
  variables {
    secrets = { HEADGATE__DEDUP__STORE = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:redis-AbCdEf" }
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.execution.policy).Statement[3].Resource == "arn:aws:secretsmanager:eu-west-1:123456789012:secret:redis-AbCdEf"
    error_message = "That secret only."
  }

  assert {
    condition     = output.containers[0].secrets[0].name == "HEADGATE__DEDUP__STORE"
    error_message = "As a setting."
  }
}

run "sizes_are_those_of_fargate" {
  command = plan

  variables {
    cpu          = 1024
    memory_mb    = 512
    ephemeral_gb = 5
  }

  expect_failures = [var.memory_mb, var.ephemeral_gb]
}

run "containers_have_names_of_their_own" {
  command = plan

  variables {
    containers  = [{ name = "a", command = [] }, { name = "a", command = [] }]
    environment = { PATH = "/" }
  }

  expect_failures = [var.containers, var.environment]
}

run "smallest_size_is_one" {
  command = plan

  variables {
    cpu       = 256
    memory_mb = 512
  }

  assert {
    condition     = aws_ecs_task_definition.this.cpu == "256" && aws_ecs_task_definition.this.memory == "512"
    error_message = "Fargate takes it."
  }
}

run "four_processors_have_30_gb" {
  command = plan

  variables {
    cpu       = 4096
    memory_mb = 30720
  }

  assert {
    condition     = aws_ecs_task_definition.this.cpu == "4096" && aws_ecs_task_definition.this.memory == "30720"
    error_message = "Fargate takes it."
  }
}

run "largest_size_is_one" {
  command = plan

  variables {
    cpu       = 16384
    memory_mb = 122880
  }

  assert {
    condition     = aws_ecs_task_definition.this.cpu == "16384" && aws_ecs_task_definition.this.memory == "122880"
    error_message = "Fargate takes it."
  }
}

run "four_processors_never_have_32_gb" {
  command = plan

  variables {
    cpu       = 4096
    memory_mb = 32768
  }

  expect_failures = [var.memory_mb]
}

run "a_quarter_of_a_processor_has_no_3_gb" {
  command = plan

  variables {
    cpu       = 256
    memory_mb = 3072
  }

  expect_failures = [var.memory_mb]
}

run "memory_comes_in_steps" {
  command = plan

  variables {
    cpu       = 1024
    memory_mb = 2560
  }

  expect_failures = [var.memory_mb]
}

run "memory_of_large_tasks_comes_in_larger_steps" {
  command = plan

  variables {
    cpu       = 8192
    memory_mb = 17408
  }

  expect_failures = [var.memory_mb]
}

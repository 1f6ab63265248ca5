# Midnight: a Fargate task that runs `headgate build`, and after it `headgate compact` where tables can be compacted.

locals {
  # Plain folders are read as they are: a reader would see the small files and the large one. Only Delta compacts.
  commands = var.lake_format == "delta" ? ["build", "compact"] : ["build"]
}

module "task" {
  source = "../task"

  name               = var.name
  image_uri          = var.image_uri
  architecture       = var.architecture
  cpu                = var.cpu
  memory_mb          = var.memory_mb
  ephemeral_gb       = var.ephemeral_gb
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  policies           = var.policies
  secrets            = var.dedup_secret_arn == null ? {} : { HEADGATE__DEDUP__STORE = var.dedup_secret_arn }

  # One after the other; a build that fails leaves the small files for the next night.
  containers = [for command in local.commands : { name = command, command = [command, var.lake_uri] }]

  environment = merge(
    var.settings,
    { HEADGATE_CONFIG = var.config_path, HEADGATE__DEDUP__WINDOW = var.dedup_window, HEADGATE__LOG__FORMAT = "json" },
    var.delivered_uri == null ? {} : { HEADGATE__FIREHOSE__DELIVERED = var.delivered_uri },
    var.dedup_uri == null ? {} : { HEADGATE__DEDUP__STORE = var.dedup_uri },
  )
}

resource "aws_scheduler_schedule_group" "this" {
  name = var.name
}

resource "aws_scheduler_schedule" "this" {
  name                         = var.name
  group_name                   = aws_scheduler_schedule_group.this.name
  schedule_expression          = var.schedule
  schedule_expression_timezone = "UTC" # partitions are dates of UTC
  state                        = var.enabled ? "ENABLED" : "DISABLED"
  kms_key_arn                  = var.kms_key_arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = module.task.cluster_arn
    role_arn = aws_iam_role.schedule.arn

    ecs_parameters {
      task_definition_arn = module.task.task_definition_arn
      launch_type         = "FARGATE"
      platform_version    = "1.4.0"

      network_configuration {
        subnets          = var.network.subnet_ids
        security_groups  = var.network.security_group_ids
        assign_public_ip = var.network.has_public_address
      }
    }

    # Starting it twice is harmless: the second one finds the lock and ends. Not starting it is what would hurt.
    retry_policy {
      maximum_retry_attempts       = 10
      maximum_event_age_in_seconds = 3600
    }

    dead_letter_config {
      arn = aws_sqs_queue.not_started.arn
    }
  }
}

resource "aws_sqs_queue" "not_started" {
  name                      = "${var.name}-not-started"
  kms_master_key_id         = var.kms_key_arn
  message_retention_seconds = 1209600 # 14 days, the most there is
}

resource "aws_iam_role" "schedule" {
  name = "${var.name}-schedule"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "schedule" {
  name = "schedule"
  role = aws_iam_role.schedule.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "StartTheTask"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = ["${module.task.task_definition_family}:*"]
        Condition = { ArnEquals = { "ecs:cluster" = module.task.cluster_arn } }
      },
      {
        Sid       = "GiveItItsRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = module.task.role_arns
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      { Sid = "SayWhatDidNotStart", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = aws_sqs_queue.not_started.arn },
      { Sid = "Key", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = var.kms_key_arn },
    ]
  })
}

# A container that ended otherwise than with 0: a message to people. A task that found another one at work is one, too.
resource "aws_cloudwatch_event_rule" "failed" {
  count = var.notify ? 1 : 0

  name        = "${var.name}-failed"
  description = "The nightly job of Headgate ended with an error"
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [module.task.cluster_arn]
      lastStatus = ["STOPPED"]
      "$or" = [
        { containers = { exitCode = [{ anything-but = [0] }] } },
        { stopCode = ["TaskFailedToStart"] },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "failed" {
  count = var.notify ? 1 : 0

  rule = aws_cloudwatch_event_rule.failed[0].name
  arn  = var.topic_arn
}

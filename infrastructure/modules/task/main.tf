# What a Fargate task from Headgate's image is: cluster, log group, two roles, task definition.

locals {
  # ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY[:TAG][@DIGEST]
  image          = regex("^(?P<account>[0-9]{12})\\.dkr\\.ecr\\.(?P<region>[a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/(?P<repository>[a-z0-9._/-]+)[:@].+$", var.image_uri)
  repository_arn = "arn:${data.aws_partition.current.partition}:ecr:${local.image.region}:${local.image.account}:repository/${local.image.repository}"

  secret_statements = [for name in nonsensitive(keys(var.secrets)) : {
    Sid      = "Secret${index(keys(var.secrets), name)}"
    Effect   = "Allow"
    Action   = ["secretsmanager:GetSecretValue"]
    Resource = var.secrets[name]
  }]

  secret_key_statements = length(var.secrets) == 0 ? [] : [
    { Sid = "SecretKey", Effect = "Allow", Action = ["kms:Decrypt"], Resource = var.kms_key_arn },
  ]

  # A function knows its region, a task has to be told.
  environment = merge(var.environment, {
    HEADGATE__AWS__REGION     = data.aws_region.current.name
    HEADGATE__STORAGE__REGION = data.aws_region.current.name
  })

  containers = [for position, container in var.containers : {
    name       = container.name
    image      = var.image_uri
    entryPoint = ["headgate"]
    command    = container.command
    # A container that others wait for may end; the last one is the task.
    essential   = position == length(var.containers) - 1
    dependsOn   = position == 0 ? [] : [{ containerName = var.containers[position - 1].name, condition = "SUCCESS" }]
    stopTimeout = 120 # seconds, the most that Fargate gives: SIGTERM commits and publishes what was read
    environment = [for name, value in local.environment : { name = name, value = value }]
    secrets     = [for name, arn in var.secrets : { name = name, valueFrom = arn }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.current.name
        awslogs-stream-prefix = container.name
      }
    }
  }]
}

data "aws_partition" "current" {}
data "aws_region" "current" {}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338:How long logs are kept is a variable; what the flow did stands in the ledger for ever.
  name              = "/headgate/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

# Fetches the image, opens the log, reads secrets: before the task runs.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-start"
  assume_role_policy = local.assumed_by_tasks
}

resource "aws_iam_role_policy" "execution" {
  # checkov:skip=CKV_AWS_355:ecr:GetAuthorizationToken knows no resource.
  name = "start"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      { Sid = "LogIn", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = "*" },
      {
        Sid      = "FetchImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = local.repository_arn
      },
      {
        Sid      = "OwnLogGroup"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this.arn}:*"
      },
    ], local.secret_statements, local.secret_key_statements)
  })
}

# What Headgate itself may do.
resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = local.assumed_by_tasks
}

resource "aws_iam_role_policy" "task" {
  for_each = var.policies

  name   = each.key
  role   = aws_iam_role.task.id
  policy = each.value
}

locals {
  assumed_by_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_ecs_task_definition" "this" {
  # checkov:skip=CKV_AWS_336:Headgate writes below /tmp only, as its own user; a mounted /tmp would belong to root.
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory_mb
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode(local.containers)

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture == "arm64" ? "ARM64" : "X86_64"
  }

  ephemeral_storage {
    size_in_gib = var.ephemeral_gb
  }

  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task]
}

# A Lambda function from Headgate's image: role, log group, settings as environment variables.

locals {
  is_in_vpc = var.network != null

  policies = merge(var.policies, local.is_in_vpc ? { network = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      # EC2 knows no narrower resource for these; the actions are those that Lambda needs to reach a network.
      Sid    = "NetworkInterfaces"
      Effect = "Allow"
      Action = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
      ]
      Resource = "*"
    }]
  }) } : {})
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338:How long logs are kept is a variable; what the flow did stands in the ledger for ever.
  name              = "/aws/lambda/${var.name}" # where Lambda writes to
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_iam_role" "this" {
  name = var.name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "logs" {
  name = "logs"
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "OwnLogGroup"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.this.arn}:*"
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  # checkov:skip=CKV_AWS_289:The only statement on "*" is that of network interfaces, which EC2 cannot narrow.
  # checkov:skip=CKV_AWS_290:The only statement on "*" is that of network interfaces, which EC2 cannot narrow.
  # checkov:skip=CKV_AWS_355:The only statement on "*" is that of network interfaces, which EC2 cannot narrow.
  for_each = local.policies

  name   = each.key
  role   = aws_iam_role.this.id
  policy = each.value
}

resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_50:Headgate sends its own traces; X-Ray would be a second set.
  # checkov:skip=CKV_AWS_116:A stream's batch goes to the failure destination of its mapping, Firehose keeps its own errors.
  # checkov:skip=CKV_AWS_117:In a network only where the claim store is in one; S3, Kinesis and DynamoDB are outside.
  # checkov:skip=CKV_AWS_272:Lambda signs packages, not images; the image is named by its digest.
  function_name = var.name
  role          = aws_iam_role.this.arn
  package_type  = "Image"
  image_uri     = var.image_uri
  architectures = [var.architecture]
  memory_size   = var.memory_mb
  timeout       = var.timeout_seconds
  kms_key_arn   = var.kms_key_arn

  # A share of the account's functions that no other function can take, and no more than that: each running batch is a
  # commit, and a lake takes some commits a second. Beyond it the stream waits, and nothing is lost.
  reserved_concurrent_executions = var.reserved_concurrency

  image_config {
    entry_point = var.entry_point
    command     = [var.handler]
  }

  ephemeral_storage {
    size = var.ephemeral_mb
  }

  environment {
    variables = var.environment
  }

  dynamic "vpc_config" {
    for_each = local.is_in_vpc ? [var.network] : []

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  # The log group first: Lambda would make one without an end and without the key.
  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.logs, aws_iam_role_policy.this]
}

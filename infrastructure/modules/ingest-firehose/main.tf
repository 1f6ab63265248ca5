# Kinesis -> Firehose -> Lambda -> S3: the delivery stream, the function that transforms, and where it is delivered.
# The nightly build files what was delivered into the lake, exactly once.

locals {
  delivered = "delivered"
}

module "function" {
  source = "../function"

  name                 = "${var.name}-transform"
  image_uri            = var.image_uri
  entry_point          = var.entry_point
  handler              = "headgate.entrypoints.firehose.handler"
  architecture         = var.architecture
  memory_mb            = var.memory_mb
  timeout_seconds      = 300 # the most that Firehose waits for
  reserved_concurrency = var.reserved_concurrency
  network              = var.network
  log_retention_days   = var.log_retention_days
  kms_key_arn          = var.kms_key_arn
  policies             = var.policies

  environment = merge(var.settings, {
    HEADGATE_CONFIG             = var.config_path
    HEADGATE__LAKE__URI         = var.lake_uri
    HEADGATE__LAKE__FORMAT      = var.lake_format
    HEADGATE__DEDUP__STORE      = var.dedup_uri
    HEADGATE__DEDUP__WINDOW     = var.dedup_window
    HEADGATE__SOURCE__RETENTION = var.stream.retention # claims remember for as long as a record can come again
    HEADGATE__LOG__FORMAT       = "json"
  })
}

# Outside the lake. What was filed stands in the lake, so that deliveries may expire; errors and raw records may not:
# they stand nowhere else.
module "deliveries" {
  source = "../bucket"

  bucket        = var.deliveries_bucket
  kms_key_arn   = var.kms_key_arn
  force_destroy = var.force_destroy
  expire_days   = var.delivered_days == null ? {} : { "${local.delivered}/" = var.delivered_days }
}

resource "aws_cloudwatch_log_group" "delivery" {
  # checkov:skip=CKV_AWS_338:How long logs are kept is a variable; errors themselves lie in the bucket.
  name              = "/headgate/${var.name}-delivery"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_cloudwatch_log_stream" "delivery" {
  name           = "delivery"
  log_group_name = aws_cloudwatch_log_group.delivery.name
}

resource "aws_iam_role" "delivery" {
  name = "${var.name}-delivery"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "firehose.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "delivery" {
  name = "delivery"
  role = aws_iam_role.delivery.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadStream"
        Effect   = "Allow"
        Action   = ["kinesis:DescribeStream", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"]
        Resource = var.stream.arn
      },
      { Sid = "Transform", Effect = "Allow", Action = ["lambda:GetFunctionConfiguration", "lambda:InvokeFunction"], Resource = [module.function.arn, "${module.function.arn}:*"] },
      { Sid = "Deliver", Effect = "Allow", Action = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"], Resource = "${module.deliveries.arn}/*" },
      { Sid = "DeliverTo", Effect = "Allow", Action = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"], Resource = module.deliveries.arn },
      { Sid = "Key", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = var.kms_key_arn },
      { Sid = "OwnLog", Effect = "Allow", Action = ["logs:PutLogEvents"], Resource = "${aws_cloudwatch_log_group.delivery.arn}:*" },
    ]
  })
}

resource "aws_kinesis_firehose_delivery_stream" "this" {
  # checkov:skip=CKV_AWS_240:The source is a stream that is encrypted with the key; Firehose encrypts only what is put to it directly.
  # checkov:skip=CKV_AWS_241:The source is a stream that is encrypted with the key; Firehose encrypts only what is put to it directly.
  name        = var.name
  destination = "extended_s3"

  kinesis_source_configuration {
    kinesis_stream_arn = var.stream.arn
    role_arn           = aws_iam_role.delivery.arn
  }

  extended_s3_configuration {
    role_arn            = aws_iam_role.delivery.arn
    bucket_arn          = module.deliveries.arn
    prefix              = "${local.delivered}/event_type=!{partitionKeyFromLambda:event_type}/created_date=!{partitionKeyFromLambda:created_date}/"
    error_output_prefix = "errors/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd}/"
    buffering_size      = var.buffer_mb
    buffering_interval  = var.buffer_seconds
    kms_key_arn         = var.kms_key_arn

    # Lines, plain or GZIP, without conversion: build reads them, and a table of Parquet would not carry the event.
    compression_format = "GZIP"
    file_extension     = ".jsonl.gz"

    dynamic_partitioning_configuration {
      enabled        = true
      retry_duration = 300
    }

    processing_configuration {
      enabled = true

      processors {
        type = "Lambda"

        parameters {
          parameter_name  = "LambdaArn"
          parameter_value = "${module.function.arn}:$LATEST"
        }

        # Size (1 MB) and time (60 s) of a request are Firehose's own defaults, which the provider does not keep: an
        # answer has 6 MB at most and lines grow by the derived fields; a request of 1 MB leaves room for both.
      }
    }

    cloudwatch_logging_options {
      enabled         = true
      log_group_name  = aws_cloudwatch_log_group.delivery.name
      log_stream_name = aws_cloudwatch_log_stream.delivery.name
    }

    s3_backup_mode = var.keeps_raw ? "Enabled" : "Disabled"

    dynamic "s3_backup_configuration" {
      for_each = var.keeps_raw ? [true] : []

      content {
        role_arn            = aws_iam_role.delivery.arn
        bucket_arn          = module.deliveries.arn
        prefix              = "raw/!{timestamp:yyyy/MM/dd}/"
        error_output_prefix = "errors/raw/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd}/"
        buffering_size      = var.buffer_mb
        buffering_interval  = var.buffer_seconds
        compression_format  = "GZIP"
        kms_key_arn         = var.kms_key_arn

        cloudwatch_logging_options {
          enabled         = true
          log_group_name  = aws_cloudwatch_log_group.delivery.name
          log_stream_name = aws_cloudwatch_log_stream.delivery.name
        }
      }
    }
  }

  depends_on = [aws_iam_role_policy.delivery]
}

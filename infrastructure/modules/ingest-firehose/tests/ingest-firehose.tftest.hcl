mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name              = "headgate-test"
  image_uri         = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  stream            = { arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/events", retention = "48h" }
  lake_uri          = "s3://headgate-lake/lake"
  lake_format       = "json"
  dedup_uri         = "dynamodb://headgate-claims"
  dedup_window      = "720h"
  policies          = {}
  kms_key_arn       = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  deliveries_bucket = "headgate-deliveries"
}

run "delivery_is_what_build_can_file" {
  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.extended_s3_configuration[0].prefix == "delivered/event_type=!{partitionKeyFromLambda:event_type}/created_date=!{partitionKeyFromLambda:created_date}/"
    error_message = "By the keys that the function answers."
  }

  assert {
    condition     = startswith(aws_kinesis_firehose_delivery_stream.this.extended_s3_configuration[0].error_output_prefix, "errors/")
    error_message = "Errors lie elsewhere."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.extended_s3_configuration[0].compression_format == "GZIP" && length(aws_kinesis_firehose_delivery_stream.this.extended_s3_configuration[0].data_format_conversion_configuration) == 0
    error_message = "Lines, compressed and not converted."
  }

  assert {
    condition     = output.delivered_uri == "s3://mocked-bucket/delivered"
    error_message = "What build reads is where it is delivered."
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.extended_s3_configuration[0].s3_backup_mode == "Disabled"
    error_message = "No raw layer unless asked for."
  }
}

run "raw_layer_keeps_every_record" {
  variables {
    keeps_raw = true
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.extended_s3_configuration[0].s3_backup_mode == "Enabled" && startswith(aws_kinesis_firehose_delivery_stream.this.extended_s3_configuration[0].s3_backup_configuration[0].prefix, "raw/")
    error_message = "Raw records are kept."
  }
}

run "deliveries_are_not_deleted_before_they_are_filed" {
  command = plan

  variables {
    delivered_days = 1
    buffer_mb      = 1
    buffer_seconds = 1
  }

  expect_failures = [var.delivered_days, var.buffer_mb, var.buffer_seconds]
}

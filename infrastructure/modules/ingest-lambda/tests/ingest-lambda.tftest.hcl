mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name            = "headgate-test"
  image_uri       = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/headgate@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  stream          = { arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/events", retention = "48h" }
  lake_uri        = "s3://headgate-lake/lake"
  lake_format     = "delta"
  dedup_uri       = "dynamodb://headgate-claims"
  dedup_window    = "720h"
  policies        = {}
  kms_key_arn     = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  failures_bucket = "headgate-failures"
}

run "mapping_keeps_what_the_guarantees_need" {
  assert {
    condition     = aws_lambda_event_source_mapping.this.starting_position == "TRIM_HORIZON"
    error_message = "From the oldest record."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.parallelization_factor == 1
    error_message = "One batch of a shard at a time."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.bisect_batch_on_function_error == false
    error_message = "A batch is never cut in two."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.maximum_retry_attempts == -1 && aws_lambda_event_source_mapping.this.maximum_record_age_in_seconds == -1
    error_message = "Until the record expires."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.destination_config[0].on_failure[0].destination_arn == module.failures.arn
    error_message = "There is always a failure destination."
  }

  assert {
    condition     = length(coalesce(aws_lambda_event_source_mapping.this.function_response_types, toset([]))) == 0
    error_message = "A batch is committed whole or comes again whole."
  }
}

run "window_without_seconds_is_refused" {
  command = plan

  variables {
    batching_window_seconds = 0
    batch_size              = 10
  }

  expect_failures = [var.batching_window_seconds, var.batch_size]
}

run "embedded_claims_are_refused" {
  command = plan

  variables {
    dedup_uri    = "rocksdb:/tmp/claims"
    dedup_window = "a week"
  }

  expect_failures = [var.dedup_uri, var.dedup_window]
}

run "lake_and_stream_must_be_ones" {
  command = plan

  variables {
    lake_uri    = "/data/lake"
    lake_format = "avro"
    stream      = { arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/events", retention = "a day" }
  }

  expect_failures = [var.lake_uri, var.lake_format, var.stream]
}

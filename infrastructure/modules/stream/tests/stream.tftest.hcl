mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "events"
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "stream_is_encrypted_and_on_demand_by_default" {
  assert {
    condition     = aws_kinesis_stream.this.encryption_type == "KMS" && aws_kinesis_stream.this.stream_mode_details[0].stream_mode == "ON_DEMAND"
    error_message = "Encrypted, on demand."
  }

  assert {
    condition     = output.retention == "24h"
    error_message = "The retention is a duration for Headgate."
  }

  assert {
    condition     = jsondecode(output.read_policies.stream).Statement[0].Resource == aws_kinesis_stream.this.arn
    error_message = "Readers may read this stream only."
  }
}

run "provisioned_stream_has_its_shards" {
  variables {
    mode        = "PROVISIONED"
    shard_count = 4
  }

  assert {
    condition     = aws_kinesis_stream.this.shard_count == 4
    error_message = "Four shards."
  }
}

run "shards_and_mode_must_agree" {
  command = plan

  variables {
    shard_count = 4
  }

  expect_failures = [var.shard_count]
}

run "retention_and_name_must_be_ones" {
  command = plan

  variables {
    name            = "a stream"
    retention_hours = 12
  }

  expect_failures = [var.name, var.retention_hours]
}

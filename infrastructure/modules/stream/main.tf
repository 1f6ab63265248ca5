# The Kinesis stream that producers put events into.

resource "aws_kinesis_stream" "this" {
  name             = var.name
  retention_period = var.retention_hours
  shard_count      = var.mode == "PROVISIONED" ? var.shard_count : null

  # Every record is encrypted where it lies; producers and readers need kms:GenerateDataKey and kms:Decrypt.
  encryption_type = "KMS"
  kms_key_id      = var.kms_key_arn

  # A consumer of enhanced fan-out that nobody deregistered must not hold up the end of the stream.
  enforce_consumer_deletion = true

  stream_mode_details {
    stream_mode = var.mode
  }
}

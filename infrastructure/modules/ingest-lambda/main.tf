# Kinesis -> Lambda: the function that admits a stream's batches, and the mapping that hands them over.

module "function" {
  source = "../function"

  name                 = var.name
  image_uri            = var.image_uri
  entry_point          = var.entry_point
  handler              = "headgate.entrypoints.aws_lambda.handler"
  architecture         = var.architecture
  memory_mb            = var.memory_mb
  timeout_seconds      = var.timeout_seconds
  reserved_concurrency = var.reserved_concurrency
  network              = var.network
  log_retention_days   = var.log_retention_days
  kms_key_arn          = var.kms_key_arn

  environment = merge(var.settings, {
    HEADGATE_CONFIG             = var.config_path
    HEADGATE__LAKE__URI         = var.lake_uri
    HEADGATE__LAKE__FORMAT      = var.lake_format
    HEADGATE__DEDUP__STORE      = var.dedup_uri
    HEADGATE__DEDUP__WINDOW     = var.dedup_window
    HEADGATE__SOURCE__RETENTION = var.stream.retention # claims and ledger remember for as long as a record can come again
    HEADGATE__LOG__FORMAT       = "json"
  })

  policies = merge(var.policies, {
    failures = jsonencode({
      Version = "2012-10-17"
      Statement = [
        { Sid = "PutFailures", Effect = "Allow", Action = ["s3:PutObject"], Resource = "${module.failures.arn}/*" },
        { Sid = "ListFailures", Effect = "Allow", Action = ["s3:ListBucket"], Resource = module.failures.arn },
        { Sid = "EncryptFailures", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = var.kms_key_arn },
      ]
    })
  })
}

# What the mapping gives up lands here with the records themselves: a queue would get positions in a stream that has
# forgotten them. Nothing here expires: a person reads it, replays it and deletes it.
module "failures" {
  source = "../bucket"

  bucket        = var.failures_bucket
  kms_key_arn   = var.kms_key_arn
  force_destroy = var.force_destroy
}

resource "aws_lambda_event_source_mapping" "this" {
  event_source_arn = var.stream.arn
  function_name    = module.function.arn
  enabled          = var.enabled

  batch_size                         = var.batch_size
  maximum_batching_window_in_seconds = var.batching_window_seconds

  # From here on the guarantees speak: these are no variables.

  # Nothing that was put before the mapping existed is left out.
  starting_position = "TRIM_HORIZON"

  # Two batches of one shard at a time would interleave, and the order within a shard would be gone.
  parallelization_factor = 1

  # A batch that failed comes again as it was. Halves would be other batches, and a poison record is a row in
  # `rejected`, never an error: there is nothing to find by halving.
  bisect_batch_on_function_error = false

  # Until the record expires in the stream. An error means that a store does not answer; giving up would lose events.
  maximum_retry_attempts        = -1
  maximum_record_age_in_seconds = -1

  # What is discarded all the same cannot be seen from inside the function.
  destination_config {
    on_failure {
      destination_arn = module.failures.arn
    }
  }

  # Counts what the mapping dropped or delivered to the failure destination; see the alarms.
  metrics_config {
    metrics = ["EventCount"]
  }
}

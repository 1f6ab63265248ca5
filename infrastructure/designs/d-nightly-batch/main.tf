# Design D: Kinesis -> Firehose -> Lambda -> short-term storage -> a nightly job -> Parquet for analysis.

locals {
  name = "${var.name}-${var.environment}"

  job_network = {
    subnet_ids         = module.network.public_subnet_ids
    security_group_ids = [module.network.client_security_group_id]
    has_public_address = true # to fetch the image without a NAT gateway; the security group lets nothing in
  }
}

module "key" {
  source = "../../modules/key"

  name = local.name
}

module "network" {
  source = "../../modules/network"

  name   = local.name
  region = var.region
  zones  = var.zones
}

module "stream" {
  source = "../../modules/stream"

  name            = local.name
  mode            = var.stream_mode
  shard_count     = var.shard_count
  retention_hours = var.retention_hours
  kms_key_arn     = module.key.arn
}

module "lake" {
  source = "../../modules/lake"

  bucket        = var.bucket
  format        = "parquet"
  database      = replace(local.name, "-", "_")
  kms_key_arn   = module.key.arn
  force_destroy = !var.protected
  event_types   = var.event_types
  first_date    = var.first_date
}

module "claims" {
  source = "../../modules/claims"

  name                = "${local.name}-claims"
  kind                = "dynamodb"
  kms_key_arn         = module.key.arn
  window_hours        = var.window_hours
  retention_hours     = var.retention_hours
  deletion_protection = var.protected
}

module "ingest" {
  source = "../../modules/ingest-firehose"

  name                 = "${local.name}-ingest"
  image_uri            = var.image_uri
  architecture         = var.architecture
  stream               = { arn = module.stream.arn, retention = module.stream.retention }
  lake_uri             = module.lake.uri
  lake_format          = module.lake.format
  dedup_uri            = module.claims.uri
  dedup_window         = module.claims.window
  policies             = merge(module.lake.write_policies, module.claims.policies)
  kms_key_arn          = module.key.arn
  deliveries_bucket    = "${var.bucket}-deliveries"
  delivered_days       = var.delivered_days
  buffer_seconds       = var.buffer_seconds
  force_destroy        = !var.protected
  memory_mb            = var.function_memory_mb
  reserved_concurrency = var.reserved_concurrency
  log_retention_days   = var.log_retention_days
}

module "job" {
  source = "../../modules/nightly-job"

  name               = "${local.name}-job"
  image_uri          = var.image_uri
  architecture       = var.architecture
  lake_uri           = module.lake.uri
  lake_format        = module.lake.format
  dedup_uri          = module.claims.uri
  dedup_window       = module.claims.window
  settings           = { HEADGATE__SOURCE__RETENTION = module.stream.retention } # for a replay or rebuild in this task
  delivered_uri      = module.ingest.delivered_uri
  policies           = merge(module.lake.write_policies, module.claims.policies, module.ingest.read_policies)
  network            = local.job_network
  topic_arn          = module.observability.topic_arn
  kms_key_arn        = module.key.arn
  cpu                = var.job_cpu
  memory_mb          = var.job_memory_mb
  log_retention_days = var.log_retention_days
}

module "observability" {
  source = "../../modules/observability"

  name                 = local.name
  kms_key_arn          = module.key.arn
  emails               = var.emails
  stream_name          = module.stream.name
  retention_hours      = module.stream.retention_hours
  lake_uri             = module.lake.uri
  max_rejected         = var.max_rejected
  function_name        = module.ingest.function_name
  delivery_stream_name = module.ingest.delivery_stream_name
  claims_table         = module.claims.table_name
  job                  = { schedule_group = module.job.schedule_group, not_started_queue = module.job.not_started_queue }
}

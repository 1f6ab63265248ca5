# Kinesis -> a container that runs for ever (Fargate): `headgate run` over all shards of a stream.

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

  containers = [{
    name    = "run"
    command = ["run", "kinesis://${var.stream.name}", var.lake_uri, "--follow"]
  }]

  environment = merge(var.settings, {
    HEADGATE_CONFIG             = var.config_path
    HEADGATE__LAKE__FORMAT      = var.lake_format
    HEADGATE__DEDUP__WINDOW     = var.dedup_window
    HEADGATE__SOURCE__RETENTION = var.stream.retention # claims remember for as long as a record can come again
    HEADGATE__LOG__FORMAT       = "json"
  }, var.dedup_secret_arn == null ? { HEADGATE__DEDUP__STORE = var.dedup_uri } : {})

  secrets = var.dedup_secret_arn == null ? {} : { HEADGATE__DEDUP__STORE = var.dedup_secret_arn }
}

resource "aws_ecs_service" "this" {
  # checkov:skip=CKV_AWS_332:1.4.0 is the latest, and named so that a later one is a decision.
  # checkov:skip=CKV_AWS_333:A public address is how a task without a NAT gateway fetches its image; its security group lets nothing in.
  name             = var.name
  cluster          = module.task.cluster_arn
  task_definition  = module.task.task_definition_arn
  launch_type      = "FARGATE"
  platform_version = "1.4.0"
  desired_count    = var.consumers
  propagate_tags   = "SERVICE"

  # The old tasks end before new ones begin: two consumers under different rules at one moment may disagree about who
  # owns an id. The stream keeps what comes meanwhile.
  deployment_maximum_percent         = 100
  deployment_minimum_healthy_percent = 0

  # A version that does not start is taken back.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.network.subnet_ids
    security_groups  = var.network.security_group_ids
    assign_public_ip = var.network.has_public_address
  }
}

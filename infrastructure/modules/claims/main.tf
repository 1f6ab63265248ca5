# The claim store, who saw an id first: a DynamoDB table, a Valkey server of ElastiCache, or objects in a bucket.

locals {
  is_dynamodb = var.kind == "dynamodb"
  is_redis    = var.kind == "redis"
  is_s3       = var.kind == "s3"
  has_server  = local.is_redis && var.redis_server
  prefix      = "registry"

  # A claim is asked for until the window is over for the last record that the stream can still bring.
  claim_days = ceil((var.window_hours + var.retention_hours) / 24) + 1
}

# ---- DynamoDB: key `pk`, time to live on `expires`; one write unit an id ----

resource "aws_dynamodb_table" "this" {
  count = local.is_dynamodb ? 1 : 0

  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "pk"
    type = "S"
  }

  # Deletes late, within days: an expired claim counts as absent all the same.
  ttl {
    attribute_name = "expires"
    enabled        = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }

  # A restored table is an older one. Headgate notices (the table's time of creation is part of the generation) and
  # fills it from the lake; so a backup saves time, never events.
  point_in_time_recovery {
    enabled = true
  }
}

# ---- ElastiCache ----

resource "aws_elasticache_subnet_group" "this" {
  count = local.has_server ? 1 : 0

  name       = var.name
  subnet_ids = var.redis.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  count = local.has_server ? 1 : 0

  name        = var.name
  family      = "valkey8"
  description = "Headgate claims: never evict"

  # A claim that is evicted lets a duplicate pass. With noeviction a full server refuses, and the stream waits; Headgate
  # refuses a server with another policy.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_security_group" "redis" {
  count = local.is_redis ? 1 : 0

  name        = "${var.name}-redis"
  description = "Headgate claims: Redis from Headgate's own functions and tasks"
  vpc_id      = var.redis.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "redis" {
  # checkov:skip=CKV_AWS_23:The group that it is the only rule of has one.
  count = local.is_redis ? 1 : 0

  security_group_id            = aws_security_group.redis[0].id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  referenced_security_group_id = var.redis.client_security_group_id
}

resource "aws_elasticache_replication_group" "this" {
  # checkov:skip=CKV2_AWS_50:Fail-over is on as soon as there are two nodes; one node is for trials.
  count = local.has_server ? 1 : 0

  replication_group_id = var.name
  description          = "Headgate claims"
  engine               = "valkey"
  engine_version       = "8.0"
  node_type            = var.redis.node_type
  port                 = 6379
  subnet_group_name    = aws_elasticache_subnet_group.this[0].name
  security_group_ids   = [aws_security_group.redis[0].id]
  parameter_group_name = aws_elasticache_parameter_group.this[0].name

  # One node group: a lake's claims carry one hash tag and lie on one server, and scripts decide many of them at once.
  # A second node takes over within a minute. ElastiCache has no append-only file beside replicas, and replication is
  # not waited for; so a failover may lose claims. Headgate sees the new master, begins a new generation and fills it
  # from the lake before the first answer.
  num_cache_clusters         = var.redis.nodes
  automatic_failover_enabled = var.redis.nodes > 1
  multi_az_enabled           = var.redis.nodes > 1

  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  auth_token                 = var.redis_auth_token
  auto_minor_version_upgrade = true

  # A change to the server is a restart, and a restart is a generation: in the maintenance window, not now.
  apply_immediately = false
}

# The URI holds the password: tasks get it from here.
resource "aws_secretsmanager_secret" "redis" {
  # checkov:skip=CKV2_AWS_57:The password is changed with the server's, by a new value of the variable; nothing else may rotate it.
  count = local.is_redis ? 1 : 0

  name_prefix = "${var.name}-redis-"
  description = "URI of Headgate's claim store"
  kms_key_id  = var.kms_key_arn
}

resource "aws_secretsmanager_secret_version" "redis" {
  count = local.is_redis ? 1 : 0

  secret_id     = aws_secretsmanager_secret.redis[0].id
  secret_string = local.uri
}

# ---- S3: one object an id ----

module "bucket" {
  source = "../bucket"
  count  = local.is_s3 ? 1 : 0

  bucket        = var.bucket
  kms_key_arn   = var.kms_key_arn
  force_destroy = var.force_destroy

  # A claim that is gone must be gone: with versions the bucket would grow for ever. A lost one is filled from the lake.
  versioned = false

  # Claims are never deleted by Headgate. `registry/state/` is the generation, and stays.
  expire_days = { "${local.prefix}/claims/" = local.claim_days }
}

locals {
  host = local.has_server ? aws_elasticache_replication_group.this[0].primary_endpoint_address : "localhost"

  uri = (
    local.is_dynamodb ? "dynamodb://${aws_dynamodb_table.this[0].name}" :
    local.is_s3 ? "s3://${module.bucket[0].id}/${local.prefix}" :
    "rediss://:${urlencode(var.redis_auth_token)}@${local.host}:6379/0"
  )

  dynamodb_statements = local.is_dynamodb ? [
    {
      Sid    = "Claims"
      Effect = "Allow"
      Action = [
        "dynamodb:DeleteItem",
        "dynamodb:DescribeTable",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
      ]
      Resource = aws_dynamodb_table.this[0].arn
    },
    { Sid = "ClaimsKey", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = var.kms_key_arn },
  ] : []

  s3_statements = local.is_s3 ? [
    { Sid = "Claims", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = "${module.bucket[0].arn}/${local.prefix}/*" },
    # Without it an object that is not there reads as denied.
    { Sid = "ClaimsBucket", Effect = "Allow", Action = ["s3:ListBucket"], Resource = module.bucket[0].arn },
    { Sid = "ClaimsKey", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = var.kms_key_arn },
  ] : []
}

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "headgate-claims"
  kind        = "dynamodb"
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "table_is_as_the_store_asks_for" {
  assert {
    condition     = aws_dynamodb_table.this[0].hash_key == "pk" && [for one in aws_dynamodb_table.this[0].attribute : one.type] == ["S"]
    error_message = "Key pk, text."
  }

  assert {
    condition     = aws_dynamodb_table.this[0].ttl[0].attribute_name == "expires" && aws_dynamodb_table.this[0].ttl[0].enabled
    error_message = "Time to live on expires."
  }

  assert {
    condition     = aws_dynamodb_table.this[0].point_in_time_recovery[0].enabled && aws_dynamodb_table.this[0].deletion_protection_enabled && aws_dynamodb_table.this[0].server_side_encryption[0].enabled
    error_message = "Recoverable, protected, encrypted."
  }

  assert {
    condition     = toset(jsondecode(output.policies.claims).Statement[0].Action) == toset([for name in ["DeleteItem", "DescribeTable", "GetItem", "PutItem", "UpdateItem"] : "dynamodb:${name}"])
    error_message = "Just what the store does."
  }

  assert {
    condition     = nonsensitive(output.uri) == "dynamodb://headgate-claims"
    error_message = "The URI names the table."
  }
}

run "redis_never_evicts_and_takes_over" {
  variables {
    kind             = "redis"
    redis_auth_token = "0123456789abcdef-token"
    redis            = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"], client_security_group_id = "sg-1", node_type = "cache.t4g.micro", nodes = 2 }
  }

  assert {
    condition     = one([for one in aws_elasticache_parameter_group.this[0].parameter : one.value if one.name == "maxmemory-policy"]) == "noeviction"
    error_message = "A claim that is evicted lets a duplicate pass."
  }

  assert {
    condition     = aws_elasticache_replication_group.this[0].automatic_failover_enabled && aws_elasticache_replication_group.this[0].multi_az_enabled
    error_message = "Two nodes stand in two zones."
  }

  assert {
    condition     = output.server.nodes == 2
    error_message = "Alarms watch both."
  }

  assert {
    condition     = aws_elasticache_replication_group.this[0].transit_encryption_mode == "required" && aws_elasticache_replication_group.this[0].at_rest_encryption_enabled
    error_message = "Encrypted on the way and at rest."
  }

  assert {
    condition     = nonsensitive(output.uri) == "rediss://:0123456789abcdef-token@master.mocked.euw1.cache.amazonaws.com:6379/0" && length(output.policies) == 0
    error_message = "TLS, with the password, and no rights besides."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.redis[0].referenced_security_group_id == "sg-1"
    error_message = "Only Headgate's own."
  }
}

run "registry_in_s3_expires_after_window_and_retention" {
  variables {
    kind            = "s3"
    bucket          = "headgate-claims-bucket"
    retention_hours = 48
  }

  assert {
    condition     = nonsensitive(output.uri) == "s3://mocked-bucket/registry"
    error_message = "Under a prefix."
  }

  assert {
    condition     = local.claim_days == 10
    error_message = "7 days of window, 2 of retention, and a day."
  }

  assert {
    condition     = !contains(jsondecode(output.policies.claims).Statement[0].Action, "s3:DeleteObject")
    error_message = "Claims in S3 are never deleted by Headgate."
  }
}

run "registry_in_s3_is_kept_for_a_longer_window" {
  variables {
    kind            = "s3"
    bucket          = "headgate-claims-bucket"
    window_hours    = 720
    retention_hours = 168
  }

  assert {
    condition     = local.claim_days == 38 && output.window == "720h"
    error_message = "30 days of window, 7 of retention, and a day; and functions are told the same window."
  }
}

run "windows_are_whole_hours" {
  command = plan

  variables {
    window_hours = 0.5
  }

  expect_failures = [var.window_hours]
}

run "redis_needs_a_password" {
  command = plan

  variables {
    kind             = "redis"
    redis_auth_token = "short"
    redis            = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"], client_security_group_id = "sg-1", node_type = "cache.t4g.micro", nodes = 1 }
  }

  expect_failures = [var.redis_auth_token]
}

run "kind_and_its_parts_must_agree" {
  command = plan

  variables {
    bucket = "headgate-claims-bucket"
  }

  expect_failures = [var.bucket]
}

run "kinds_are_three" {
  command = plan

  variables {
    kind = "rocksdb"
  }

  expect_failures = [var.kind]
}

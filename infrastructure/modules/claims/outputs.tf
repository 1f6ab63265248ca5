output "uri" {
  description = "The store, for HEADGATE__DEDUP__STORE; of the kind redis with its password."
  value       = local.uri
  sensitive   = true
}

output "window" {
  description = "The window, as a duration for HEADGATE__DEDUP__WINDOW: functions and tasks ask for claims as long as these are kept."
  value       = "${var.window_hours}h"
}

output "policies" {
  description = "Policy documents that let a role use the store, by name; none for redis, which asks for its password."
  value = {
    for name, statements in { claims = concat(local.dynamodb_statements, local.s3_statements) } :
    name => jsonencode({ Version = "2012-10-17", Statement = statements }) if !local.is_redis
  }
}

output "secret_arn" {
  description = "Secret that holds the URI, of the kind redis; else null."
  value       = local.is_redis ? aws_secretsmanager_secret.redis[0].arn : null
}

output "table_name" {
  description = "Name of the table, of the kind dynamodb; else null."
  value       = local.is_dynamodb ? aws_dynamodb_table.this[0].name : null
}

output "server" {
  description = "Replication group and number of its nodes, of the kind redis; else null."
  value       = local.has_server ? { name = aws_elasticache_replication_group.this[0].replication_group_id, nodes = var.redis.nodes } : null
}

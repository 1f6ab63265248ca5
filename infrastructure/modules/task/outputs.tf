output "cluster_arn" {
  description = "ARN of the cluster."
  value       = aws_ecs_cluster.this.arn
}

output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "task_definition_arn" {
  description = "ARN of this revision of the task."
  value       = aws_ecs_task_definition.this.arn
}

output "task_definition_family" {
  description = "ARN of the task without its revision."
  value       = aws_ecs_task_definition.this.arn_without_revision
}

output "role_arns" {
  description = "Roles that whoever starts the task must be allowed to pass."
  value       = [aws_iam_role.execution.arn, aws_iam_role.task.arn]
}

output "containers" {
  description = "The containers as ECS gets them."
  value       = local.containers
}

output "log_group" {
  description = "Log group of the task."
  value       = aws_cloudwatch_log_group.this.name
}

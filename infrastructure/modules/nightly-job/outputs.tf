output "cluster_name" {
  description = "Name of the cluster, for `aws ecs run-task`."
  value       = module.task.cluster_name
}

output "task_definition_arn" {
  description = "ARN of the task, for `aws ecs run-task`."
  value       = module.task.task_definition_arn
}

output "schedule_group" {
  description = "Name of the schedule's group; a dimension of its metrics."
  value       = aws_scheduler_schedule_group.this.name
}

output "not_started_queue" {
  description = "Name of the queue that holds what the schedule could not start."
  value       = aws_sqs_queue.not_started.name
}

output "containers" {
  description = "The containers as ECS gets them."
  value       = module.task.containers
}

output "log_group" {
  description = "Log group of the job."
  value       = module.task.log_group
}

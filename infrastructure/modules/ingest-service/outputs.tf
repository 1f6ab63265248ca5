output "cluster_name" {
  description = "Name of the cluster."
  value       = module.task.cluster_name
}

output "service_name" {
  description = "Name of the service."
  value       = aws_ecs_service.this.name
}

output "containers" {
  description = "The containers as ECS gets them."
  value       = module.task.containers
}

output "log_group" {
  description = "Log group of the consumer."
  value       = module.task.log_group
}

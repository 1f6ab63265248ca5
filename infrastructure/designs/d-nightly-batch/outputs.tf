output "stream" {
  description = "Stream that producers put events into."
  value       = module.stream.name
}

output "lake" {
  description = "The lake, for every command of Headgate."
  value       = module.lake.uri
}

output "database" {
  description = "Glue database, for Athena."
  value       = module.lake.database
}

output "function" {
  description = "Name of the function."
  value       = module.ingest.function_name
}

output "delivered" {
  description = "Where Firehose delivers."
  value       = module.ingest.delivered_uri
}

output "job" {
  description = "Cluster and task of the nightly job, for `aws ecs run-task`."
  value       = { cluster = module.job.cluster_name, task = module.job.task_definition_arn }
}

output "dashboard" {
  description = "Dashboard in CloudWatch."
  value       = module.observability.dashboard_name
}

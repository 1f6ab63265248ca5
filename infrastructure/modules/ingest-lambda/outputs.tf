output "function_name" {
  description = "Name of the function."
  value       = module.function.name
}

output "function_arn" {
  description = "ARN of the function; `aws lambda invoke` with {\"data\": [...]} admits events by hand."
  value       = module.function.arn
}

output "mapping_uuid" {
  description = "Id of the event source mapping, for `aws lambda update-event-source-mapping`."
  value       = aws_lambda_event_source_mapping.this.uuid
}

output "failures_bucket" {
  description = "Where batches lie that the mapping gave up."
  value       = module.failures.id
}

output "log_group" {
  description = "Log group of the function."
  value       = module.function.log_group
}

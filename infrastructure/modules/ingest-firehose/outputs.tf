output "function_name" {
  description = "Name of the function that transforms."
  value       = module.function.name
}

output "delivery_stream_name" {
  description = "Name of the delivery stream."
  value       = aws_kinesis_firehose_delivery_stream.this.name
}

output "delivered_uri" {
  description = "Where it delivers, for HEADGATE__FIREHOSE__DELIVERED."
  value       = "s3://${module.deliveries.id}/${local.delivered}"
}

output "deliveries_bucket" {
  description = "Bucket of deliveries (delivered/), errors (errors/) and, where they are kept, raw records (raw/)."
  value       = module.deliveries.id
}

output "read_policies" {
  description = "Policy documents that let the nightly job read deliveries, by name."
  value = {
    deliveries = jsonencode({
      Version = "2012-10-17"
      Statement = [
        { Sid = "ReadDeliveries", Effect = "Allow", Action = ["s3:GetObject"], Resource = "${module.deliveries.arn}/${local.delivered}/*" },
        { Sid = "ListDeliveries", Effect = "Allow", Action = ["s3:ListBucket"], Resource = module.deliveries.arn },
        { Sid = "DeliveriesKey", Effect = "Allow", Action = ["kms:Decrypt"], Resource = var.kms_key_arn },
      ]
    })
  }
}

output "log_group" {
  description = "Log group of the function."
  value       = module.function.log_group
}

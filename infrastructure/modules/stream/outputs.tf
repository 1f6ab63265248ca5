output "name" {
  description = "Name of the stream."
  value       = aws_kinesis_stream.this.name
}

output "arn" {
  description = "ARN of the stream."
  value       = aws_kinesis_stream.this.arn
}

output "retention" {
  description = "How long the stream keeps a record, as a duration for `[source] retention`."
  value       = "${var.retention_hours}h"
}

output "retention_hours" {
  description = "The same in hours."
  value       = var.retention_hours
}

output "read_policies" {
  description = "Policy documents that let a consumer read the stream, by name."
  value = {
    stream = jsonencode({
      Version = "2012-10-17"
      Statement = [
        {
          Sid    = "ReadStream"
          Effect = "Allow"
          Action = [
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
          ]
          Resource = aws_kinesis_stream.this.arn
        },
        { Sid = "DecryptStream", Effect = "Allow", Action = ["kms:Decrypt"], Resource = var.kms_key_arn },
      ]
    })
  }
}

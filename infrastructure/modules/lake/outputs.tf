output "uri" {
  description = "The lake, for HEADGATE__LAKE__URI."
  value       = local.uri
}

output "bucket" {
  description = "Name of its bucket."
  value       = module.bucket.id
}

output "format" {
  description = "Format of its tables."
  value       = var.format
}

output "database" {
  description = "Glue database, for Athena."
  value       = aws_glue_catalog_database.this.name
}

output "write_policies" {
  description = "Policy documents that let a role write the lake, by name."
  value = {
    lake = jsonencode({
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "Lake"
          Effect   = "Allow"
          Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
          Resource = "${module.bucket.arn}/${var.prefix}/*"
        },
        # On the whole bucket: GetObject of an absent object carries no prefix, and reads as denied where a condition asks for one.
        { Sid = "LakeBucket", Effect = "Allow", Action = ["s3:ListBucket"], Resource = module.bucket.arn },
        { Sid = "LakeKey", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = var.kms_key_arn },
      ]
    })
  }
}

output "read_policies" {
  description = "Policy documents that let a role read the lake, by name: for `headgate query`, `status` and `check`."
  value = {
    lake = jsonencode({
      Version = "2012-10-17"
      Statement = [
        { Sid = "Lake", Effect = "Allow", Action = ["s3:GetObject"], Resource = "${module.bucket.arn}/${var.prefix}/*" },
        { Sid = "LakeBucket", Effect = "Allow", Action = ["s3:ListBucket"], Resource = module.bucket.arn },
        { Sid = "LakeKey", Effect = "Allow", Action = ["kms:Decrypt"], Resource = var.kms_key_arn },
      ]
    })
  }
}

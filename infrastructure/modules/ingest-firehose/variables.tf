variable "name" {
  description = "Name of delivery stream, function, roles and log groups."
  type        = string
}

variable "image_uri" {
  description = "Headgate's image in ECR, by digest or by a tag that never moves."
  type        = string
}

variable "entry_point" {
  description = "Program of the image that runs the handler."
  type        = list(string)
  default     = ["/opt/headgate/bin/python", "-m", "awslambdaric"]
}

variable "config_path" {
  description = "Where the image has the configuration file."
  type        = string
  default     = "/etc/headgate/headgate.toml"
}

variable "stream" {
  description = "The stream: its ARN and how long it keeps a record (`24h`)."
  type        = object({ arn = string, retention = string })

  validation {
    condition     = can(regex("^[0-9]+[hd]$", var.stream.retention))
    error_message = "The retention is a duration in hours or days, as in 24h."
  }
}

variable "lake_uri" {
  description = "The lake, as s3://bucket/prefix."
  type        = string

  validation {
    condition     = can(regex("^s3://[a-z0-9-]+/.+[^/]$", var.lake_uri))
    error_message = "Expected s3://bucket/prefix."
  }
}

variable "lake_format" {
  description = "Format of the lake's tables; fixed when the lake is made."
  type        = string

  validation {
    condition     = contains(["delta", "parquet", "json"], var.lake_format)
    error_message = "delta, parquet or json."
  }
}

variable "dedup_uri" {
  description = "The claim store; it must be shared by all invocations."
  type        = string
  sensitive   = true

  validation {
    condition     = can(regex("^(redis|rediss|dynamodb|s3)://.+$", var.dedup_uri))
    error_message = "Functions run side by side and need a shared claim store: dynamodb://table, rediss://host:port/db or s3://bucket/prefix."
  }
}

variable "dedup_window" {
  description = "How much later than its original a copy is still a duplicate, as the claim store was told; wins over the configuration file."
  type        = string

  validation {
    condition     = can(regex("^[1-9][0-9]*[hd]$", var.dedup_window))
    error_message = "The window is a duration in hours or days, as in 168h."
  }
}

variable "policies" {
  description = "Policy documents of the role, by name: those of stream, lake and claims."
  type        = map(string)
}

variable "settings" {
  description = "More settings of Headgate, as HEADGATE__SECTION__KEY; they win over the configuration file."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "ARN of the KMS key of log groups, environment and deliveries."
  type        = string
}

variable "architecture" {
  description = "Processor that the image was built for."
  type        = string
  default     = "x86_64"
}

variable "memory_mb" {
  description = "Memory in MB; 1,769 MB bring one processor."
  type        = number
  default     = 2048
}

variable "reserved_concurrency" {
  description = "Invocations at once, reserved for this function; -1 for none reserved. Firehose invokes several at once for a shard."
  type        = number
  default     = 50
}

variable "network" {
  description = "Subnets and security groups, where the claim store is inside a network."
  type        = object({ subnet_ids = list(string), security_group_ids = list(string) })
  default     = null
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30
}

variable "deliveries_bucket" {
  description = "Name of the bucket that Firehose delivers to; another one than the lake's."
  type        = string
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete the deliveries; for trials only."
  type        = bool
  default     = false
}

variable "delivered_days" {
  description = "Days after which deliveries are deleted; null keeps them. The nightly build has filed them long before."
  type        = number
  default     = 90

  validation {
    condition     = var.delivered_days == null ? true : var.delivered_days >= 30
    error_message = "At least 30 days: what the nightly build has not filed stands nowhere else."
  }
}

variable "keeps_raw" {
  description = "Keep every record as it came, under raw/ of the same bucket, for ever."
  type        = bool
  default     = false
}

variable "buffer_mb" {
  description = "MB of a partition that Firehose collects before it delivers."
  type        = number
  default     = 128

  validation {
    condition     = var.buffer_mb >= 64 && var.buffer_mb <= 128
    error_message = "64 to 128 MB, with dynamic partitions."
  }
}

variable "buffer_seconds" {
  description = "Seconds after which Firehose delivers all the same."
  type        = number
  default     = 900

  validation {
    condition     = var.buffer_seconds >= 60 && var.buffer_seconds <= 900
    error_message = "60 to 900 seconds."
  }
}

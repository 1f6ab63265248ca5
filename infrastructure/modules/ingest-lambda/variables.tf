variable "name" {
  description = "Name of function, role, mapping and log group."
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
  description = "ARN of the KMS key of log group, environment and failures."
  type        = string
}

variable "failures_bucket" {
  description = "Name of the bucket for batches that the mapping gives up."
  type        = string
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete the failures; for trials only."
  type        = bool
  default     = false
}

variable "enabled" {
  description = "False: the mapping stands still and keeps its place. For roll-outs and repairs."
  type        = bool
  default     = true
}

variable "batch_size" {
  description = "Records of a batch at most."
  type        = number
  default     = 10000

  validation {
    condition     = var.batch_size >= 100 && var.batch_size <= 10000
    error_message = "100 to 10000 records: each batch is a commit, and smaller ones make more commits than a lake takes."
  }
}

variable "batching_window_seconds" {
  description = "Seconds to wait for a full batch. Commits a second are about shards divided by this."
  type        = number
  default     = 60

  validation {
    condition     = var.batching_window_seconds >= 1 && var.batching_window_seconds <= 300
    error_message = "1 to 300 seconds; without a window every few records would be a commit."
  }
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

variable "timeout_seconds" {
  description = "Seconds after which Lambda ends an invocation."
  type        = number
  default     = 300
}

variable "reserved_concurrency" {
  description = "Invocations at once, reserved for this function; -1 for none reserved. One a shard is what the stream uses."
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

variable "name" {
  description = "Name of cluster, service, task, roles and log group."
  type        = string
}

variable "image_uri" {
  description = "Headgate's image in ECR, by digest or by a tag that never moves."
  type        = string
}

variable "config_path" {
  description = "Where the image has the configuration file."
  type        = string
  default     = "/etc/headgate/headgate.toml"
}

variable "stream" {
  description = "The stream: its name and how long it keeps a record (`24h`)."
  type        = object({ name = string, retention = string })

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
  description = "The claim store. An embedded one would be filled from the whole lake at every start: a task has no disk that stays."
  type        = string
  default     = null

  validation {
    condition     = (var.dedup_uri == null) != (var.dedup_secret_arn == null)
    error_message = "Either dedup_uri or dedup_secret_arn."
  }

  validation {
    condition     = var.dedup_uri == null ? true : can(regex("^(redis|rediss|dynamodb|s3)://[^@]+$", var.dedup_uri))
    error_message = "dynamodb://table, rediss://host:port/db or s3://bucket/prefix; with a password it belongs into a secret."
  }
}

variable "dedup_secret_arn" {
  description = "Secret that holds the claim store's URI, where that has a password."
  type        = string
  default     = null
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
  description = "ARN of the KMS key of log group and secret."
  type        = string
}

variable "network" {
  description = "Where tasks run; without a public address the subnets need a way to ECR, Kinesis and logs."
  type        = object({ subnet_ids = list(string), security_group_ids = list(string), has_public_address = bool })
}

variable "consumers" {
  description = "Tasks: 1 works, a second one stands by, 0 stops; the stream keeps the place."
  type        = number
  default     = 1

  validation {
    condition     = contains([0, 1, 2], var.consumers)
    error_message = "0, 1 or 2: one consumer reads all shards, a third would wait behind the second."
  }
}

variable "architecture" {
  description = "Processor that the image was built for."
  type        = string
  default     = "x86_64"
}

variable "cpu" {
  description = "Processor units; 1024 are one processor."
  type        = number
  default     = 2048
}

variable "memory_mb" {
  description = "Memory in MB."
  type        = number
  default     = 8192
}

variable "ephemeral_gb" {
  description = "Room on disk in GB."
  type        = number
  default     = 30
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30
}

variable "name" {
  description = "Name of cluster, task, schedule, roles and log group."
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

variable "lake_uri" {
  description = "The lake, as s3://bucket/prefix."
  type        = string

  validation {
    condition     = can(regex("^s3://[a-z0-9-]+/.+[^/]$", var.lake_uri))
    error_message = "Expected s3://bucket/prefix."
  }
}

variable "lake_format" {
  description = "Format of the lake's tables; only delta is compacted."
  type        = string

  validation {
    condition     = contains(["delta", "parquet", "json"], var.lake_format)
    error_message = "delta, parquet or json."
  }
}

variable "delivered_uri" {
  description = "Where Firehose delivers, as s3://bucket/prefix: build files it into the lake first. Null without Firehose."
  type        = string
  default     = null
}

variable "dedup_uri" {
  description = "The claim store, where it has no password."
  type        = string
  default     = null

  validation {
    condition     = var.dedup_uri == null || var.dedup_secret_arn == null
    error_message = "dedup_uri or dedup_secret_arn, not both."
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
  description = "Policy documents of the role, by name: those of lake, claims and deliveries."
  type        = map(string)
}

variable "settings" {
  description = "More settings of Headgate, as HEADGATE__SECTION__KEY; they win over the configuration file."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "ARN of the KMS key of log group, schedule and queue."
  type        = string
}

variable "network" {
  description = "Where the task runs; without a public address the subnets need a way to ECR and logs."
  type        = object({ subnet_ids = list(string), security_group_ids = list(string), has_public_address = bool })
}

variable "schedule" {
  description = "When, in UTC."
  type        = string
  default     = "cron(0 0 * * ? *)"

  validation {
    condition     = can(regex("^(cron|rate)\\(.+\\)$", var.schedule))
    error_message = "Expected cron(...) or rate(...)."
  }
}

variable "enabled" {
  description = "False stops the schedule."
  type        = bool
  default     = true
}

variable "notify" {
  description = "Send a message to `topic_arn` when the job fails."
  type        = bool
  default     = true
}

variable "topic_arn" {
  description = "Topic that hears of a job that failed."
  type        = string
  default     = null

  validation {
    condition     = !var.notify || var.topic_arn != null
    error_message = "Name the topic, or set notify to false."
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
  description = "Memory in MB; compaction takes about four times `[compaction] target_file_bytes`."
  type        = number
  default     = 8192
}

variable "ephemeral_gb" {
  description = "Room on disk in GB."
  type        = number
  default     = 50
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30
}

variable "name" {
  description = "Name of the stream. A lake remembers it: a stream that is made again under its name is another source."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9_.-]{1,128}$", var.name))
    error_message = "A stream's name has 1 to 128 letters, digits, dots, hyphens and underscores."
  }
}

variable "mode" {
  description = "ON_DEMAND: Kinesis chooses the shards, paid by volume. PROVISIONED: `shard_count` shards, paid by the hour."
  type        = string
  default     = "ON_DEMAND"

  validation {
    condition     = contains(["ON_DEMAND", "PROVISIONED"], var.mode)
    error_message = "ON_DEMAND or PROVISIONED."
  }
}

variable "shard_count" {
  description = "Shards of a provisioned stream; each takes 1 MB or 1,000 records a second."
  type        = number
  default     = null

  validation {
    condition     = (var.mode == "PROVISIONED") == (var.shard_count != null)
    error_message = "PROVISIONED needs shard_count, ON_DEMAND has none."
  }

  validation {
    condition     = var.shard_count == null ? true : var.shard_count >= 1 && var.shard_count == floor(var.shard_count)
    error_message = "A whole number from 1."
  }
}

variable "retention_hours" {
  description = "Hours for which a record can be read again: the time there is to mend a failure without loss."
  type        = number
  default     = 24

  validation {
    condition     = var.retention_hours >= 24 && var.retention_hours <= 8760
    error_message = "Kinesis keeps records for 24 to 8760 hours."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the records."
  type        = string
}

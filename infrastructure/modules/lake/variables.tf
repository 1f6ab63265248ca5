variable "bucket" {
  description = "Name of the lake's bucket; a lake has one of its own."
  type        = string
}

variable "prefix" {
  description = "Folder of the lake in the bucket."
  type        = string
  default     = "lake"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9/_-]*[a-z0-9]$", var.prefix))
    error_message = "Lower-case letters, digits, slashes, hyphens and underscores, without a slash at either end."
  }
}

variable "format" {
  description = "Format of the tables; fixed when the lake is made."
  type        = string
  default     = "delta"

  validation {
    condition     = contains(["delta", "parquet", "json"], var.format)
    error_message = "delta, parquet or json."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts every object."
  type        = string
}

variable "noncurrent_days" {
  description = "Days for which an overwritten or deleted object can be brought back; it also outlives an erasure for so long."
  type        = number
  default     = 14
}

variable "database" {
  description = "Name of the Glue database."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,127}$", var.database))
    error_message = "Lower-case letters, digits and underscores, beginning with a letter."
  }
}

variable "event_types" {
  description = "Event types that Athena lists in tables of Parquet or JSON; empty: each statement names the types it wants."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.event_types : length(name) > 0 && !strcontains(name, ",")])
    error_message = "Names are not empty and hold no comma: Glue separates them by it."
  }
}

variable "first_date" {
  description = "The first date that Athena looks for in tables of Parquet or JSON."
  type        = string
  default     = "2020-01-01"

  validation {
    condition     = can(formatdate("YYYY", "${var.first_date}T00:00:00Z"))
    error_message = "Expected a date such as 2020-01-01."
  }
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete a lake with events in it; for trials only."
  type        = bool
  default     = false
}

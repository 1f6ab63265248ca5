variable "bucket" {
  description = "Name of the bucket, unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits and hyphens; dots break TLS."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts every object."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "Expected the ARN of a KMS key, not an alias: an alias may be pointed elsewhere."
  }
}

variable "versioned" {
  description = "Keep what was overwritten or deleted, for `noncurrent_days`."
  type        = bool
  default     = true
}

variable "noncurrent_days" {
  description = "Days for which an overwritten or deleted object can be brought back; it also outlives an erasure for so long."
  type        = number
  default     = 14

  validation {
    condition     = var.noncurrent_days >= 1
    error_message = "At least one day."
  }
}

variable "expire_days" {
  description = "Days after which objects below a prefix are deleted, by prefix. Only what can be made anew, or is kept elsewhere, may be named."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for prefix, days in var.expire_days : endswith(prefix, "/") && length(prefix) > 1 && days >= 1])
    error_message = "A prefix ends in a slash and is not empty, and days are at least 1: no rule may reach the whole bucket."
  }

  validation {
    condition     = alltrue([for prefix, days in var.expire_days : !strcontains(prefix, "_headgate")])
    error_message = "Nothing below _headgate may expire: the ledger is there, and rows that are committed but not yet published."
  }
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete a bucket with objects in it; for trials only."
  type        = bool
  default     = false
}

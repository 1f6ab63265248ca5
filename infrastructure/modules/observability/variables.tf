variable "name" {
  description = "Name of the deployment; begins the names of topic, alarms and dashboard."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "The name has 2 to 31 lower-case letters, digits and hyphens and begins with a letter."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key of the topic; its policy must let CloudWatch and EventBridge use it."
  type        = string
}

variable "emails" {
  description = "Addresses that hear of alarms; each is asked for its consent once."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", address))])
    error_message = "Expected addresses such as data@example.com."
  }
}

variable "stream_name" {
  description = "The stream."
  type        = string
}

variable "retention_hours" {
  description = "How long the stream keeps a record, in hours."
  type        = number
}

variable "lag_share_of_retention" {
  description = "Share of the retention after which unread records are an alarm."
  type        = number
  default     = 0.25

  validation {
    condition     = var.lag_share_of_retention > 0 && var.lag_share_of_retention <= 0.5
    error_message = "More than 0 and at most 0.5: there must be time left to mend it."
  }
}

variable "lake_uri" {
  description = "The lake, a dimension of Headgate's own metrics."
  type        = string

  validation {
    condition     = can(regex("^s3://[a-z0-9-]+/.+[^/]$", var.lake_uri))
    error_message = "Expected s3://bucket/prefix."
  }
}

variable "max_lag_seconds" {
  description = "Seconds between arrival and commit beyond which there is an alarm."
  type        = number
  default     = 3600

  validation {
    condition     = var.max_lag_seconds >= 60
    error_message = "At least 60 seconds: a batch waits so long by design."
  }
}

variable "max_rejected" {
  description = "Rejected records within 5 minutes beyond which there is an alarm."
  type        = number
  default     = 100

  validation {
    condition     = var.max_rejected >= 0
    error_message = "0 or more."
  }
}

variable "max_errors" {
  description = "Failed invocations within 5 minutes beyond which, three times in a row, there is an alarm."
  type        = number
  default     = 0

  validation {
    condition     = var.max_errors >= 0
    error_message = "0 or more."
  }
}

variable "stale_periods" {
  description = "Periods of 5 minutes without a single record after which there is an alarm."
  type        = number
  default     = 6

  validation {
    condition     = var.stale_periods >= 1 && var.stale_periods <= 288
    error_message = "1 to 288, a day."
  }
}

variable "function_name" {
  description = "The function, where there is one."
  type        = string
  default     = null
}

variable "function_timeout_seconds" {
  description = "Seconds after which Lambda ends an invocation."
  type        = number
  default     = 300
}

variable "mapping" {
  description = "The event source mapping, where there is one."
  type        = object({ uuid = string })
  default     = null
}

variable "delivery_stream_name" {
  description = "The delivery stream of Firehose, where there is one."
  type        = string
  default     = null
}

variable "service" {
  description = "Cluster and service of the consumer, where there is one."
  type        = object({ cluster = string, name = string })
  default     = null
}

variable "job" {
  description = "Schedule group of the nightly job, and the queue of what did not start."
  type        = object({ schedule_group = string, not_started_queue = string })
  default     = null
}

variable "claims_table" {
  description = "DynamoDB table of the claims, where they are in one."
  type        = string
  default     = null
}

variable "claims_server" {
  description = "Replication group of the claims and number of its nodes, where they are in Redis."
  type        = object({ name = string, nodes = number })
  default     = null
}

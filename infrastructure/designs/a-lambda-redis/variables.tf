variable "name" {
  description = "First part of every name."
  type        = string
  default     = "headgate-a"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.name))
    error_message = "The name has 2 to 21 lower-case letters, digits and hyphens and begins with a letter."
  }
}

variable "environment" {
  description = "Second part of every name: dev, prod."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.environment))
    error_message = "The environment has 2 to 8 lower-case letters and digits."
  }
}

variable "region" {
  description = "Region of everything."
  type        = string
}

variable "zones" {
  description = "Letters of the region's zones to stand in: two or more that this account has."
  type        = list(string)
  default     = ["a", "b"]
}

variable "bucket" {
  description = "Name of the lake's bucket; other buckets begin with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,45}[a-z0-9]$", var.bucket))
    error_message = "3 to 47 lower-case letters, digits and hyphens: other buckets' names add up to 16 more."
  }
}

variable "image_uri" {
  description = "Headgate's image in ECR with this folder's headgate.toml in it, by digest or by a tag that never moves."
  type        = string
}

variable "architecture" {
  description = "Processor that the image was built for: x86_64 or arm64."
  type        = string
}

variable "stream_mode" {
  description = "ON_DEMAND or PROVISIONED."
  type        = string
}

variable "shard_count" {
  description = "Shards of a provisioned stream, else null."
  type        = number
}

variable "retention_hours" {
  description = "Hours for which the stream keeps a record: the time there is to mend a failure."
  type        = number
}

variable "window_hours" {
  description = "Hours after its original within which a copy is a duplicate; functions and tasks are told it, and it wins over `[dedup] window`."
  type        = number
  default     = 168

  validation {
    condition     = var.window_hours >= 1 && var.window_hours <= 8760 && var.window_hours == floor(var.window_hours)
    error_message = "1 to 8760 whole hours."
  }
}

variable "function_memory_mb" {
  description = "Memory of the function."
  type        = number
}

variable "reserved_concurrency" {
  description = "Invocations at once, reserved; -1 for none reserved."
  type        = number
}

variable "job_cpu" {
  description = "Processor units of the nightly job."
  type        = number
}

variable "job_memory_mb" {
  description = "Memory of the nightly job."
  type        = number
}

variable "emails" {
  description = "Addresses that hear of alarms."
  type        = list(string)
}

variable "max_rejected" {
  description = "Rejected records within 5 minutes beyond which there is an alarm."
  type        = number
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
}

variable "protected" {
  description = "Refuse to destroy what holds data. False only where nobody would miss it."
  type        = bool
}

variable "batching_window_seconds" {
  description = "Seconds to wait for a full batch: freshness against commits and files."
  type        = number
}

variable "redis_node_type" {
  description = "Size of the Redis server; 165 to 205 bytes an id of the window."
  type        = string
}

variable "redis_nodes" {
  description = "1, or 2 and more in several zones that take over from one another."
  type        = number
}

variable "redis_auth_token" {
  description = "Password of the Redis server; set TF_VAR_redis_auth_token."
  type        = string
  sensitive   = true
}

variable "event_types" {
  description = "Event types that Athena lists; empty: each statement names the types it wants."
  type        = list(string)
}

variable "first_date" {
  description = "The first `created_date` that Athena looks for: it does not show older events, and lists a folder for every type and day from then on where a statement names no dates."
  type        = string
  default     = "2020-01-01"
}

variable "endpoint" {
  description = "Address of an emulator that stands in for every service; null for AWS."
  type        = string
  default     = null

  validation {
    condition     = var.endpoint == null ? true : can(regex("^http://(127\\.0\\.0\\.1|localhost)(:[0-9]+)?$", var.endpoint))
    error_message = "An emulator on this machine, as http://127.0.0.1:5000."
  }
}

variable "switched_off" {
  description = "Parts that an emulator does not know: redis. Refused without `endpoint`."
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.switched_off) == 0 || var.endpoint != null
    error_message = "On AWS nothing is switched off."
  }
}

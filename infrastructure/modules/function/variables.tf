variable "name" {
  description = "Name of the function, its role and its log group."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,62}$", var.name))
    error_message = "The name has 2 to 63 lower-case letters, digits and hyphens and begins with a letter."
  }
}

variable "image_uri" {
  description = "Headgate's image in ECR, by digest or by a tag that never moves."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[a-z0-9._/-]+(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)$", var.image_uri))
    error_message = "Lambda takes images from ECR: ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY@sha256:DIGEST, or with a tag."
  }

  validation {
    condition     = !endswith(var.image_uri, ":latest")
    error_message = "The tag latest moves: a roll back would not know where to. Name a digest or a version."
  }
}

variable "handler" {
  description = "Python function that Lambda calls."
  type        = string

  validation {
    condition     = contains(["headgate.entrypoints.aws_lambda.handler", "headgate.entrypoints.firehose.handler"], var.handler)
    error_message = "headgate.entrypoints.aws_lambda.handler or headgate.entrypoints.firehose.handler."
  }
}

variable "entry_point" {
  description = "Program of the image that runs the handler."
  type        = list(string)
  default     = ["/opt/headgate/bin/python", "-m", "awslambdaric"]
}

variable "environment" {
  description = "Settings of Headgate, as HEADGATE_CONFIG and HEADGATE__SECTION__KEY."
  type        = map(string)
  sensitive   = true

  validation {
    condition     = alltrue([for name in keys(var.environment) : can(regex("^HEADGATE(_CONFIG|__[A-Z0-9]+(__[A-Z0-9_]+)+)$", name))])
    error_message = "Names are HEADGATE_CONFIG or HEADGATE__SECTION__KEY; credentials come from the role."
  }
}

variable "policies" {
  description = "Policy documents of the role, by name."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "ARN of the KMS key of log group and environment."
  type        = string
}

variable "architecture" {
  description = "Processor that the image was built for."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "x86_64 or arm64."
  }
}

variable "memory_mb" {
  description = "Memory in MB; 1,769 MB bring one processor."
  type        = number
  default     = 2048

  validation {
    condition     = var.memory_mb >= 1024 && var.memory_mb <= 10240
    error_message = "1024 to 10240 MB; below 1024 the engine has no room for a full batch."
  }
}

variable "ephemeral_mb" {
  description = "Room in /tmp in MB."
  type        = number
  default     = 1024

  validation {
    condition     = var.ephemeral_mb >= 512 && var.ephemeral_mb <= 10240
    error_message = "512 to 10240 MB."
  }
}

variable "timeout_seconds" {
  description = "Seconds after which Lambda ends an invocation; Headgate gives up `[function] margin_seconds` earlier."
  type        = number
  default     = 300

  validation {
    condition     = var.timeout_seconds >= 60 && var.timeout_seconds <= 900
    error_message = "60 to 900 seconds: a cold start that waits for a store needs time to answer."
  }
}

variable "reserved_concurrency" {
  description = "Invocations at once, reserved for this function; -1 for none reserved. A stream needs one a shard."
  type        = number
  default     = 50

  validation {
    condition     = var.reserved_concurrency == -1 || var.reserved_concurrency >= 1
    error_message = "At least 1, or -1; 0 would stop the function."
  }
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

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653], var.log_retention_days)
    error_message = "CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827 or 3653 days."
  }
}

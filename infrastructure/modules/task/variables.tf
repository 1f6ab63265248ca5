variable "name" {
  description = "Name of cluster, task, roles and log group."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,50}$", var.name))
    error_message = "The name has 2 to 51 lower-case letters, digits and hyphens and begins with a letter."
  }
}

variable "image_uri" {
  description = "Headgate's image in ECR, by digest or by a tag that never moves."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[a-z0-9._/-]+(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)$", var.image_uri)) && !endswith(var.image_uri, ":latest")
    error_message = "Expected ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY@sha256:DIGEST, or with a tag that is not latest."
  }
}

variable "containers" {
  description = "Containers with the arguments of `headgate`; each waits for the one before to succeed, and the last one is the task."
  type        = list(object({ name = string, command = list(string) }))

  validation {
    condition     = length(var.containers) >= 1 && length(distinct(var.containers[*].name)) == length(var.containers)
    error_message = "At least one container, and each name once."
  }
}

variable "environment" {
  description = "Settings of Headgate, as HEADGATE_CONFIG and HEADGATE__SECTION__KEY."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.environment) : can(regex("^HEADGATE(_CONFIG|__[A-Z0-9]+(__[A-Z0-9_]+)+)$", name))])
    error_message = "Names are HEADGATE_CONFIG or HEADGATE__SECTION__KEY; credentials come from the role."
  }
}

variable "secrets" {
  description = "Settings whose value is in Secrets Manager: name to the secret's ARN."
  type        = map(string)
  default     = {}
}

variable "policies" {
  description = "Policy documents of the task's role, by name."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "ARN of the KMS key of log group and secrets."
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

variable "cpu" {
  description = "Processor units; 1024 are one processor."
  type        = number
  default     = 1024

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "256, 512, 1024, 2048, 4096, 8192 or 16384."
  }
}

variable "memory_mb" {
  description = "Memory in MB; what Fargate takes depends on the processor."
  type        = number
  default     = 4096

  validation {
    condition = contains(lookup({
      256   = [512, 1024, 2048]
      512   = range(1024, 4096 + 1, 1024)
      1024  = range(2048, 8192 + 1, 1024)
      2048  = range(4096, 16384 + 1, 1024)
      4096  = range(8192, 30720 + 1, 1024)
      8192  = range(16384, 61440 + 1, 4096)
      16384 = range(32768, 122880 + 1, 8192)
    }, var.cpu, []), var.memory_mb)
    error_message = "Fargate takes for cpu 256: 512, 1024 or 2048; 512: 1024 to 4096; 1024: 2048 to 8192; 2048: 4096 to 16384; 4096: 8192 to 30720, all by 1024; 8192: 16384 to 61440 by 4096; 16384: 32768 to 122880 by 8192."
  }
}

variable "ephemeral_gb" {
  description = "Room on disk in GB."
  type        = number
  default     = 30

  validation {
    condition     = var.ephemeral_gb >= 21 && var.ephemeral_gb <= 200
    error_message = "21 to 200 GB."
  }
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

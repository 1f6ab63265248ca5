variable "name" {
  description = "Name of the deployment; the alias of the key."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "The name has 2 to 31 lower-case letters, digits and hyphens and begins with a letter."
  }
}

variable "log_groups" {
  description = "Patterns of the log groups that the key may encrypt, without the ARN before them."
  type        = list(string)
  default     = ["/headgate/*", "/aws/lambda/*"]

  validation {
    condition     = length(var.log_groups) > 0 && alltrue([for pattern in var.log_groups : startswith(pattern, "/")])
    error_message = "Name at least one group; names begin with a slash."
  }
}

variable "deletion_window_days" {
  description = "Days between the order to delete the key and its end, in which that can be taken back."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30
    error_message = "KMS waits 7 to 30 days."
  }
}

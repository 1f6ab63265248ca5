variable "name" {
  description = "Name of the table or server."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "The name has 3 to 40 lower-case letters, digits and hyphens, begins with a letter and ends with none of the hyphens."
  }
}

variable "kind" {
  description = "dynamodb: no server, paid by the id. redis: fastest, paid by the hour. s3: nothing but S3, eight times DynamoDB's price."
  type        = string

  validation {
    condition     = contains(["dynamodb", "redis", "s3"], var.kind)
    error_message = "dynamodb, redis or s3."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the claims."
  type        = string
}

variable "window_hours" {
  description = "`[dedup] window` in hours; with the retention it says how long objects are kept in S3."
  type        = number
  default     = 168

  validation {
    condition     = var.window_hours >= 1 && var.window_hours == floor(var.window_hours)
    error_message = "Whole hours, at least one."
  }
}

variable "retention_hours" {
  description = "How long the stream keeps a record, in hours."
  type        = number
  default     = 24

  validation {
    condition     = var.retention_hours >= 24 && var.retention_hours <= 8760
    error_message = "24 to 8760 hours, as the stream's."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the table."
  type        = bool
  default     = true
}

variable "redis" {
  description = "Where the server stands and how large it is; 165 to 205 bytes an id. Two nodes or more stand in several zones."
  type = object({
    vpc_id                   = string
    subnet_ids               = list(string)
    client_security_group_id = string
    node_type                = string
    nodes                    = number
  })
  default = null

  validation {
    condition     = (var.kind == "redis") == (var.redis != null)
    error_message = "The kind redis needs redis, the others have none."
  }

  validation {
    condition     = var.redis == null ? true : var.redis.nodes >= 1 && var.redis.nodes <= 6
    error_message = "1 to 6 nodes."
  }
}

variable "redis_auth_token" {
  description = "Password of the server; TF_VAR_redis_auth_token, never a file."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.kind != "redis" || can(regex("^[A-Za-z0-9!&#$^<>-]{16,128}$", var.redis_auth_token))
    error_message = "The kind redis needs a password of 16 to 128 letters, digits and !&#$^<>-."
  }
}

variable "redis_server" {
  description = "False leaves the server, its parameters and subnet group out, for an emulator that has none; the URI then names localhost."
  type        = bool
  default     = true
}

variable "bucket" {
  description = "Name of the bucket of the kind s3."
  type        = string
  default     = null

  validation {
    condition     = (var.kind == "s3") == (var.bucket != null)
    error_message = "The kind s3 needs a bucket, the others have none."
  }
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete a bucket with claims in it; for trials only."
  type        = bool
  default     = false
}

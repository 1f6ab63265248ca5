variable "name" {
  description = "Name of the deployment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "The name has 2 to 31 lower-case letters, digits and hyphens and begins with a letter."
  }
}

variable "region" {
  description = "Region, in the names of the gateways' services."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network; subnets are sixteenths of it."
  type        = string
  default     = "10.42.0.0/20"

  validation {
    condition     = can(cidrsubnet(var.cidr, 4, 15)) && try(tonumber(split("/", var.cidr)[1]) <= 24, false)
    error_message = "Expected an IPv4 range of /24 or larger, such as 10.42.0.0/20."
  }
}

variable "zones" {
  description = "Letters of the zones of the region to stand in."
  type        = list(string)
  default     = ["a", "b"]

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 8 && alltrue([for letter in var.zones : can(regex("^[a-z]$", letter))])
    error_message = "2 to 8 letters, such as a and b."
  }
}

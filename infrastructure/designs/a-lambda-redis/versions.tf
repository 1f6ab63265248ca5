# The state goes where `terraform init -backend-config=...` says; see README.md.

terraform {
  required_version = ">= 1.9.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  backend "s3" {}
}

provider "aws" {
  region = var.region

  # Not for an emulator that forgets them.
  dynamic "default_tags" {
    for_each = var.endpoint == null ? [local.name] : []

    content {
      tags = {
        application = "headgate"
        deployment  = default_tags.value
      }
    }
  }

  # An emulator on this machine instead of AWS, for trials; null in every environment.
  s3_use_path_style           = var.endpoint != null
  skip_credentials_validation = var.endpoint != null
  skip_metadata_api_check     = var.endpoint != null

  dynamic "endpoints" {
    for_each = var.endpoint == null ? [] : [var.endpoint]

    content {
      cloudwatch     = endpoints.value
      cloudwatchlogs = endpoints.value
      dynamodb       = endpoints.value
      ec2            = endpoints.value
      ecs            = endpoints.value
      elasticache    = endpoints.value
      events         = endpoints.value
      firehose       = endpoints.value
      glue           = endpoints.value
      iam            = endpoints.value
      kinesis        = endpoints.value
      kms            = endpoints.value
      lambda         = endpoints.value
      s3             = endpoints.value
      scheduler      = endpoints.value
      secretsmanager = endpoints.value
      sns            = endpoints.value
      sqs            = endpoints.value
      sts            = endpoints.value
    }
  }
}

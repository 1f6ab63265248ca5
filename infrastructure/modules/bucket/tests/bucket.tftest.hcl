mock_provider "aws" {
  source = "../../mocks"
}

variables {
  bucket      = "headgate-test-bucket"
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "bucket_is_private_encrypted_and_over_tls_only" {
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "No public access."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"
    error_message = "Encrypted with KMS."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    error_message = "One request to KMS for many objects."
  }

  assert {
    condition     = alltrue([for one in jsondecode(aws_s3_bucket_policy.this.policy).Statement : one.Effect == "Deny"]) && jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "TLS only."
  }

  assert {
    condition     = aws_s3_bucket_versioning.this[0].versioning_configuration[0].status == "Enabled" && !aws_s3_bucket.this.force_destroy
    error_message = "Mistakes can be taken back."
  }
}

run "nothing_current_expires_unless_named" {
  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : alltrue([for one in rule.expiration : coalesce(one.days, 0) == 0])])
    error_message = "Without expire_days no rule may delete what is current."
  }
}

run "named_prefix_expires_and_claims_have_no_versions" {
  variables {
    versioned   = false
    expire_days = { "registry/claims/" = 9 }
  }

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.filter[0].prefix if length(rule.expiration) > 0] == ["registry/claims/"]
    error_message = "Only what was named."
  }

  assert {
    condition     = length(aws_s3_bucket_versioning.this) == 0
    error_message = "No versions."
  }
}

run "no_rule_reaches_the_ledger" {
  command = plan

  variables {
    expire_days = { "lake/_headgate/staging/" = 7 }
  }

  expect_failures = [var.expire_days]
}

run "no_rule_reaches_the_whole_bucket" {
  command = plan

  variables {
    expire_days = { "/" = 7 }
  }

  expect_failures = [var.expire_days]
}

run "bucket_and_key_must_be_ones" {
  command = plan

  variables {
    bucket      = "with.dots"
    kms_key_arn = "alias/lake"
  }

  expect_failures = [var.bucket, var.kms_key_arn]
}

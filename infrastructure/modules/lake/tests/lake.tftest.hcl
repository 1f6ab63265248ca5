mock_provider "aws" {
  source = "../../mocks"
}

variables {
  bucket      = "headgate-lake"
  database    = "headgate_test"
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "delta_tables_are_found_by_their_log" {
  assert {
    condition     = toset(keys(aws_glue_catalog_table.delta)) == toset(["events", "duplicates", "rejected", "quality"])
    error_message = "The four tables."
  }

  assert {
    condition     = aws_glue_catalog_table.delta["events"].parameters.table_type == "DELTA" && aws_glue_catalog_table.delta["events"].storage_descriptor[0].location == "s3://mocked-bucket/lake/events/"
    error_message = "Delta, at its place."
  }

  assert {
    condition     = length(aws_glue_catalog_table.plain) == 0
    error_message = "Not both."
  }
}

run "writers_reach_the_lakes_prefix_only" {
  assert {
    condition     = jsondecode(output.write_policies.lake).Statement[0].Resource == "arn:aws:s3:::mocked-bucket/lake/*"
    error_message = "Its own prefix."
  }

  assert {
    condition     = !strcontains(output.read_policies.lake, "PutObject") && !strcontains(output.read_policies.lake, "DeleteObject")
    error_message = "Readers read."
  }

  assert {
    condition     = !can(jsondecode(output.write_policies.lake).Statement[1].Condition)
    error_message = "A condition on the prefix makes an absent object read as denied."
  }
}

run "parquet_partitions_are_computed" {
  variables {
    format      = "parquet"
    event_types = ["payment", "login"]
  }

  assert {
    condition     = aws_glue_catalog_table.plain["events"].parameters["storage.location.template"] == "s3://mocked-bucket/lake/events/event_type=$${event_type}/created_date=$${created_date}/"
    error_message = "Where a partition lies."
  }

  assert {
    condition     = aws_glue_catalog_table.plain["events"].parameters["projection.event_type.values"] == "payment,login" && aws_glue_catalog_table.plain["duplicates"].parameters["projection.arrival_date.type"] == "date"
    error_message = "Types and dates."
  }

  assert {
    condition     = jsonencode(aws_glue_catalog_table.plain["events"].partition_keys[*].name) == jsonencode(["event_type", "created_date"]) && !contains(aws_glue_catalog_table.plain["events"].storage_descriptor[0].columns[*].name, "event_type")
    error_message = "A partition key is no column."
  }
}

run "json_keeps_the_position_in_a_struct" {
  variables {
    format = "json"
  }

  assert {
    condition     = aws_glue_catalog_table.plain["events"].storage_descriptor[0].ser_de_info[0].parameters["mapping.headgate"] == "_headgate" && aws_glue_catalog_table.plain["events"].parameters["projection.event_type.type"] == "injected"
    error_message = "The column headgate is _headgate."
  }
}

run "names_must_be_ones" {
  command = plan

  variables {
    prefix      = "/lake/"
    database    = "with-hyphen"
    format      = "avro"
    event_types = ["a,b"]
    first_date  = "yesterday"
  }

  expect_failures = [var.prefix, var.database, var.format, var.event_types, var.first_date]
}

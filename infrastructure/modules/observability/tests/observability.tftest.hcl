mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name            = "headgate-test"
  kms_key_arn     = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  stream_name     = "events"
  retention_hours = 24
  lake_uri        = "s3://headgate-lake/lake"
  emails          = ["data@example.com"]
}

run "everything_is_watched_where_everything_is_there" {
  variables {
    function_name        = "headgate-test-ingest"
    mapping              = { uuid = "11111111-2222-3333-4444-555555555555" }
    delivery_stream_name = "headgate-test"
    service              = { cluster = "c", name = "s" }
    job                  = { schedule_group = "g", not_started_queue = "q" }
    claims_table         = "t"
    claims_server        = { name = "r", nodes = 2 }
  }

  assert {
    condition = length(setsubtract([
      "stream-reading-behind", "stream-refuses-writes", "rejected", "stale", "late", "function-errors", "function-throttles",
      "function-slow", "function-behind", "mapping-dropped", "mapping-gave-up", "firehose-stale", "firehose-transform", "firehose-partitions",
      "service-down", "job-not-started", "job-not-due", "claims-throttled", "claims-memory-001", "claims-memory-002",
      "claims-evicted-001", "claims-evicted-002",
    ], keys(aws_cloudwatch_metric_alarm.this))) == 0
    error_message = "An alarm is missing."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length(alarm.alarm_actions) == 1 && length(alarm.alarm_description) > 40])
    error_message = "Every alarm is heard, and says what to do."
  }

  assert {
    condition     = [for node in ["001", "002"] : aws_cloudwatch_metric_alarm.this["claims-evicted-${node}"].dimensions.CacheClusterId] == ["r-001", "r-002"]
    error_message = "Each node: after a fail-over the primary is another one."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["firehose-partitions"].metric_name == "PartitionCountExceeded" && aws_cloudwatch_metric_alarm.this["firehose-partitions"].dimensions == tomap({ DeliveryStreamName = "headgate-test" })
    error_message = "Records beyond the limit of partitions go to errors/."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["job-not-due"].treat_missing_data == "missing" && length(aws_cloudwatch_metric_alarm.this["job-not-due"].insufficient_data_actions) == 1
    error_message = "Quiet until the first midnight, and heard when a day passes without a start."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.period * alarm.evaluation_periods <= (alarm.period < 3600 ? 86400 : 604800)])
    error_message = "CloudWatch looks back for a day, and for seven by hours."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["function-behind"].threshold == 6 * 3600 * 1000
    error_message = "A quarter of the retention."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["rejected"].dimensions == tomap({ Function = "headgate-test-ingest", Lake = "s3://headgate-lake/lake" })
    error_message = "The dimensions that functions write."
  }

  assert {
    condition     = alltrue([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.x + widget.width <= 24])
    error_message = "The dashboard fits."
  }
}

run "stream_alone_is_watched_too" {
  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset(["stream-reading-behind", "stream-refuses-writes"])
    error_message = "Only what is there."
  }
}

run "alarms_leave_time_to_mend" {
  command = plan

  variables {
    lag_share_of_retention = 0.9
    emails                 = ["nobody"]
    stale_periods          = 0
    max_lag_seconds        = 1
    lake_uri               = "lake"
  }

  expect_failures = [var.lag_share_of_retention, var.emails, var.stale_periods, var.max_lag_seconds, var.lake_uri]
}

# Alarms and a dashboard: what people must hear of, and what they look at then.
#
# Every alarm speaks of a state in which events wait, are refused or might get lost. Names in the namespace Headgate are
# those that functions write into their logs (embedded metric format); the rest is AWS's own. A consumer in a container
# is scraped by Prometheus instead; here it is watched through its stream and its task.

locals {
  namespace = "Headgate"

  function_dimensions = { FunctionName = var.function_name }
  stream_dimensions   = { StreamName = var.stream_name }
  headgate_dimensions = { Function = var.function_name, Lake = var.lake_uri }

  # 001, 002: how ElastiCache names the nodes of a group.
  claims_nodes = var.claims_server == null ? [] : [for position in range(var.claims_server.nodes) : format("%03d", position + 1)]

  # Half of what the stream keeps: the other half is the time to mend it.
  iterator_age_ms = var.retention_hours * 3600 * 1000 * var.lag_share_of_retention

  every = {
    stream-reading-behind = {
      description = "The oldest unread record is older than allowed: readers stand still or are too slow. Look at the errors of the function or the log of the task."
      namespace   = "AWS/Kinesis", metric = "GetRecords.IteratorAgeMilliseconds", statistic = "Maximum"
      threshold   = local.iterator_age_ms, comparison = "GreaterThanThreshold", periods = 5, seconds = 60
      missing     = "notBreaching", dimensions = local.stream_dimensions
    }
    stream-refuses-writes = {
      description = "The stream refused records: producers have to send them again. It needs more shards."
      namespace   = "AWS/Kinesis", metric = "WriteProvisionedThroughputExceeded", statistic = "Sum"
      threshold   = 0, comparison = "GreaterThanThreshold", periods = 5, seconds = 60
      missing     = "notBreaching", dimensions = local.stream_dimensions
    }
  }

  of_function = var.function_name == null ? {} : {
    rejected = {
      description = "More records were rejected than allowed. The table `rejected` says why; mend the configuration and `headgate replay`."
      namespace   = local.namespace, metric = "Rejected", statistic = "Sum"
      threshold   = var.max_rejected, comparison = "GreaterThanThreshold", periods = 1, seconds = 300
      missing     = "notBreaching", dimensions = local.headgate_dimensions
    }
    stale = {
      description = "Nothing was received for too long, though the stream should not be silent: producers, readers or the lake stand still."
      namespace   = local.namespace, metric = "Received", statistic = "Sum"
      threshold   = 1, comparison = "LessThanThreshold", periods = var.stale_periods, seconds = 300
      missing     = "breaching", dimensions = local.headgate_dimensions
    }
    late = {
      description = "Even the newest event of a batch had waited longer than allowed when it was committed."
      namespace   = local.namespace, metric = "Lag", statistic = "Maximum"
      threshold   = var.max_lag_seconds, comparison = "GreaterThanThreshold", periods = 3, seconds = 300
      missing     = "notBreaching", dimensions = local.headgate_dimensions
    }
    function-errors = {
      description = "Invocations failed. The batch comes again until it is committed; the log says what does not answer."
      namespace   = "AWS/Lambda", metric = "Errors", statistic = "Sum"
      threshold   = var.max_errors, comparison = "GreaterThanThreshold", periods = 3, seconds = 300
      missing     = "notBreaching", dimensions = local.function_dimensions
    }
    function-throttles = {
      description = "Invocations had no room: raise reserved_concurrency, or the account's limit."
      namespace   = "AWS/Lambda", metric = "Throttles", statistic = "Sum"
      threshold   = 0, comparison = "GreaterThanThreshold", periods = 3, seconds = 300
      missing     = "notBreaching", dimensions = local.function_dimensions
    }
    function-slow = {
      description = "Invocations take nearly as long as they may: give more memory, or smaller batches."
      namespace   = "AWS/Lambda", metric = "Duration", statistic = "Maximum"
      threshold   = var.function_timeout_seconds * 1000 * 0.8, comparison = "GreaterThanThreshold", periods = 3, seconds = 300
      missing     = "notBreaching", dimensions = local.function_dimensions
    }
  }

  of_mapping = var.mapping == null ? {} : {
    function-behind = {
      description = "The last record of a batch was older than allowed when the function got it."
      namespace   = "AWS/Lambda", metric = "IteratorAge", statistic = "Maximum"
      threshold   = local.iterator_age_ms, comparison = "GreaterThanThreshold", periods = 5, seconds = 60
      missing     = "notBreaching", dimensions = local.function_dimensions
    }
    mapping-dropped = {
      description = "The mapping dropped events: they expired. `headgate verify` says which; look for them at the producers."
      namespace   = "AWS/Lambda", metric = "DroppedEventCount", statistic = "Sum"
      threshold   = 0, comparison = "GreaterThanThreshold", periods = 1, seconds = 60
      missing     = "notBreaching", dimensions = { EventSourceMappingUUID = var.mapping.uuid }
    }
    mapping-gave-up = {
      description = "Batches went to the failure destination: replay them with `aws lambda invoke` and {\"data\": [...]}."
      namespace   = "AWS/Lambda", metric = "OnFailureDestinationDeliveredEventCount", statistic = "Sum"
      threshold   = 0, comparison = "GreaterThanThreshold", periods = 1, seconds = 60
      missing     = "notBreaching", dimensions = { EventSourceMappingUUID = var.mapping.uuid }
    }
  }

  of_firehose = var.delivery_stream_name == null ? {} : {
    firehose-stale = {
      description = "The oldest record that Firehose holds is older than allowed."
      namespace   = "AWS/Firehose", metric = "DeliveryToS3.DataFreshness", statistic = "Maximum"
      threshold   = 3600, comparison = "GreaterThanThreshold", periods = 3, seconds = 300
      missing     = "notBreaching", dimensions = { DeliveryStreamName = var.delivery_stream_name }
    }
    firehose-transform = {
      description = "Firehose could not invoke the function: after three attempts records go to errors/ unjudged. Replay them."
      namespace   = "AWS/Firehose", metric = "ExecuteProcessing.Success", statistic = "Minimum"
      threshold   = 1, comparison = "LessThanThreshold", periods = 3, seconds = 300
      missing     = "notBreaching", dimensions = { DeliveryStreamName = var.delivery_stream_name }
    }
    firehose-partitions = {
      description = "More event types and dates at once than Firehose holds open (500, unless AWS raised it): further records go to errors/, judged and not delivered; `headgate verify` names them. Ask AWS for more, or lower buffer_seconds."
      namespace   = "AWS/Firehose", metric = "PartitionCountExceeded", statistic = "Maximum"
      threshold   = 0, comparison = "GreaterThanThreshold", periods = 1, seconds = 60
      missing     = "notBreaching", dimensions = { DeliveryStreamName = var.delivery_stream_name }
    }
  }

  of_service = var.service == null ? {} : {
    service-down = {
      description = "No consumer runs: events wait in the stream."
      namespace   = "ECS/ContainerInsights", metric = "RunningTaskCount", statistic = "Minimum"
      threshold   = 1, comparison = "LessThanThreshold", periods = 5, seconds = 60
      missing     = "breaching", dimensions = { ClusterName = var.service.cluster, ServiceName = var.service.name }
    }
  }

  of_job = var.job == null ? {} : {
    job-not-started = {
      description = "The schedule could not start the nightly job: start it with `aws ecs run-task`."
      namespace   = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", statistic = "Maximum"
      threshold   = 0, comparison = "GreaterThanThreshold", periods = 1, seconds = 300
      missing     = "notBreaching", dimensions = { QueueName = var.job.not_started_queue }
    }
    # Speaks by losing its data: to take what is missing for breaching would be an alarm from the first apply to the first
    # midnight. By hours, because CloudWatch looks some periods further back for data than it is told.
    job-not-due = {
      description = "A day passed without the nightly job being started: no data is the alarm here. Is the schedule there and enabled?"
      namespace   = "AWS/Scheduler", metric = "InvocationAttemptCount", statistic = "Sum"
      threshold   = 1, comparison = "LessThanThreshold", periods = 26, seconds = 3600
      missing     = "missing", dimensions = { ScheduleGroup = var.job.schedule_group }
    }
  }

  of_table = var.claims_table == null ? {} : {
    claims-throttled = {
      description = "DynamoDB refused requests: the stream waits. The table warms up within minutes, else look at the account's limits."
      namespace   = "AWS/DynamoDB", metric = "WriteThrottleEvents", statistic = "Sum"
      threshold   = 0, comparison = "GreaterThanThreshold", periods = 5, seconds = 60
      missing     = "notBreaching", dimensions = { TableName = var.claims_table }
    }
  }

  # Each node: after a fail-over the primary is another one.
  of_redis = merge([for node in local.claims_nodes : {
    "claims-memory-${node}" = {
      description = "Redis is nearly full: with noeviction it will refuse claims and the stream will wait. Take a larger node."
      namespace   = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", statistic = "Maximum"
      threshold   = 80, comparison = "GreaterThanThreshold", periods = 3, seconds = 300
      missing     = "breaching", dimensions = { CacheClusterId = "${var.claims_server.name}-${node}" }
    }
    "claims-evicted-${node}" = {
      description = "Redis evicted claims, which its parameters forbid: duplicates may pass. Headgate fills a new generation."
      namespace   = "AWS/ElastiCache", metric = "Evictions", statistic = "Sum"
      threshold   = 0, comparison = "GreaterThanThreshold", periods = 1, seconds = 60
      missing     = "notBreaching", dimensions = { CacheClusterId = "${var.claims_server.name}-${node}" }
    }
  }]...)

  alarms = merge(
    local.every, local.of_function, local.of_mapping, local.of_firehose,
    local.of_service, local.of_job, local.of_table, local.of_redis,
  )
}

resource "aws_sns_topic" "this" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["sns:Publish"]
        Resource  = aws_sns_topic.this.arn
        Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
      },
      {
        # EventBridge does not support conditions in the policy of a topic.
        Sid       = "Events"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = ["sns:Publish"]
        Resource  = aws_sns_topic.this.arn
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["sns:Publish"]
        Resource  = aws_sns_topic.this.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

resource "aws_sns_topic_subscription" "mail" {
  for_each = toset(var.emails)

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.seconds
  evaluation_periods  = each.value.periods
  threshold           = each.value.threshold
  comparison_operator = each.value.comparison
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]

  # An alarm begins without data, and only a change is told.
  insufficient_data_actions = each.value.missing == "missing" ? [aws_sns_topic.this.arn] : []
}

locals {
  region = data.aws_region.current.name
  ours   = var.function_name == null ? [] : ["Function", var.function_name, "Lake", var.lake_uri]

  charts = concat(
    [
      { title = "Stream: unread, ms", stat = "Maximum", metrics = [["AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName", var.stream_name]] },
      { title = "Stream: records", stat = "Sum", metrics = [["AWS/Kinesis", "IncomingRecords", "StreamName", var.stream_name], ["AWS/Kinesis", "GetRecords.Records", "StreamName", var.stream_name]] },
    ],
    flatten([for _ in var.function_name[*] : [
      { title = "Verdicts", stat = "Sum", metrics = [for name in ["Accepted", "Duplicates", "Conflicts", "Rejected"] : concat([local.namespace, name], local.ours)] },
      { title = "Received", stat = "Sum", metrics = [for name in ["Received", "Warnings"] : concat([local.namespace, name], local.ours)] },
      { title = "Lag, seconds", stat = "Maximum", metrics = [concat([local.namespace, "Lag"], local.ours)] },
      { title = "Commit, seconds", stat = "p99", metrics = [concat([local.namespace, "CommitSeconds"], local.ours)] },
      { title = "Bytes", stat = "Sum", metrics = [concat([local.namespace, "Bytes"], local.ours), ["AWS/Kinesis", "IncomingBytes", "StreamName", var.stream_name]] },
      { title = "Function", stat = "Sum", metrics = [for name in ["Invocations", "Errors", "Throttles"] : ["AWS/Lambda", name, "FunctionName", var.function_name]] },
      { title = "Function: duration, ms", stat = "p99", metrics = [["AWS/Lambda", "Duration", "FunctionName", var.function_name]] },
    ]]),
    flatten([for _ in var.delivery_stream_name[*] : [
      { title = "Firehose: freshness, seconds", stat = "Maximum", metrics = [["AWS/Firehose", "DeliveryToS3.DataFreshness", "DeliveryStreamName", var.delivery_stream_name]] },
    ]]),
    flatten([for _ in var.service[*] : [
      { title = "Consumer: tasks", stat = "Minimum", metrics = [["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", var.service.cluster, "ServiceName", var.service.name]] },
    ]]),
    flatten([for _ in var.claims_table[*] : [
      { title = "Claims: write units", stat = "Sum", metrics = [["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", var.claims_table], ["AWS/DynamoDB", "WriteThrottleEvents", "TableName", var.claims_table]] },
    ]]),
    flatten([for _ in var.claims_server[*] : [
      { title = "Claims: memory, %", stat = "Maximum", metrics = [for node in local.claims_nodes : ["AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "CacheClusterId", "${var.claims_server.name}-${node}"]] },
    ]]),
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = concat(
      [for position, chart in local.charts : {
        type   = "metric"
        x      = position % 2 * 12
        y      = floor(position / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = chart.title
          view    = "timeSeries"
          region  = local.region
          period  = 60
          stat    = chart.stat
          metrics = chart.metrics
        }
      }],
      [{
        type       = "alarm"
        x          = 0
        y          = ceil(length(local.charts) / 2) * 6
        width      = 24
        height     = 4
        properties = { title = "Alarms", alarms = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.arn] }
      }],
    )
  })
}

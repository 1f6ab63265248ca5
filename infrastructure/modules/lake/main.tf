# The lake: one bucket, and Glue tables so that Athena can ask it.

locals {
  uri    = "s3://${module.bucket.id}/${var.prefix}"
  schema = jsondecode(file("${path.module}/columns.json"))
  plain  = var.format == "delta" ? {} : local.schema[var.format]
}

# What may be deleted by age, in a lake? Nothing that is current:
#
# - `events/`, `duplicates/`, `rejected/`, `quality/`, `analytics/`: the tables.
# - `_headgate/ledger/`: which rows are there; a lake without it is a folder of files.
# - `_headgate/settled/`, `_headgate/erasures/`, `format.json`, `claims.json`: named by the ledger, or written once.
# - `_headgate/staging/`: looks like rubbish, and holds the rows of commits that nobody has published yet. When a stream
#   falls silent they lie there until the next invocation or job, however long that takes: age says nothing about them.
#   What killed writers left beside them takes room and is read by nobody.
# - `_headgate/firehose/`: duplicates and rejects until `build` has filed them.
#
# So the rules are those of the module bucket alone: parts of uploads that were never completed, and versions that were
# overwritten or deleted, which no reader of Headgate asks for. They are kept for people who make mistakes, and for as
# long they also keep what an erasure took out: see `noncurrent_days`.
module "bucket" {
  source = "../bucket"

  bucket          = var.bucket
  kms_key_arn     = var.kms_key_arn
  noncurrent_days = var.noncurrent_days
  force_destroy   = var.force_destroy
}

resource "aws_glue_catalog_database" "this" {
  name         = var.database
  description  = "Headgate's lake ${local.uri}"
  location_uri = local.uri
}

# Athena reads schema, partitions and files of a Delta table from its log; the catalog says only where it is.
resource "aws_glue_catalog_table" "delta" {
  for_each = var.format == "delta" ? local.schema.delta : {}

  name          = each.key
  database_name = aws_glue_catalog_database.this.name
  description   = "Headgate: ${each.key}"
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    EXTERNAL                     = "TRUE"
    table_type                   = "DELTA"
    "spark.sql.sources.provider" = "delta"
  }

  storage_descriptor {
    location      = "${local.uri}/${each.key}/"
    input_format  = "org.apache.hadoop.mapred.SequenceFileInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
      parameters            = { path = "${local.uri}/${each.key}/" }
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}

# Folders of Parquet or JSON: Athena computes the partitions from the statement, so that nobody has to register them.
resource "aws_glue_catalog_table" "plain" {
  for_each = local.plain

  name          = each.key
  database_name = aws_glue_catalog_database.this.name
  description   = "Headgate: ${each.key}"
  table_type    = "EXTERNAL_TABLE"

  parameters = merge(
    { EXTERNAL = "TRUE", classification = var.format },
    length(each.value.partitions) == 0 ? {} : {
      "projection.enabled"        = "true"
      "storage.location.template" = "${local.uri}/${each.key}/${join("/", [for one in each.value.partitions : "${one.name}=$${${one.name}}"])}/"
    },
    merge([for one in each.value.partitions : one.type == "date" ? {
      "projection.${one.name}.type"   = "date"
      "projection.${one.name}.format" = "yyyy-MM-dd"
      "projection.${one.name}.range"  = "${var.first_date},NOW+1DAYS"
      } : length(var.event_types) == 0 ? {
      # Any type, and each statement must name the ones it wants: event_type = 'payment'.
      "projection.${one.name}.type" = "injected"
      } : {
      "projection.${one.name}.type"   = "enum"
      "projection.${one.name}.values" = join(",", var.event_types)
    }]...),
  )

  dynamic "partition_keys" {
    for_each = each.value.partitions

    content {
      name = partition_keys.value.name
      type = partition_keys.value.type
    }
  }

  storage_descriptor {
    location      = "${local.uri}/${each.key}/"
    input_format  = var.format == "parquet" ? "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat" : "org.apache.hadoop.mapred.TextInputFormat"
    output_format = var.format == "parquet" ? "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat" : "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

    ser_de_info {
      serialization_library = var.format == "parquet" ? "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe" : "org.openx.data.jsonserde.JsonSerDe"
      # A column must not begin with an underscore in some engines: `_headgate` is the column `headgate`.
      parameters = var.format == "parquet" ? { "serialization.format" = "1" } : { "mapping.headgate" = "_headgate" }
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}

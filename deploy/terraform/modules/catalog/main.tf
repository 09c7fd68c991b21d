# Tables of the lake for Athena. tables.json is written from flood_assets.schemas: python -m deploy.terraform.catalog

locals {
  database = replace(var.name, "-", "_")
  written  = jsondecode(file("${path.module}/tables.json"))
  present  = { for name, table in local.written.tables : name => table if table.current }
  sharded  = length(var.shards) > 0
  leading  = length(var.leading) > 0 ? var.leading : slice(var.shards, 0, min(1, length(var.shards)))
  views    = merge(local.written.views, local.sharded ? local.written.views_of_shards : {})

  # Folders of the lakes below the bucket; of a list that not every shard has, those that have it.
  lakes         = local.sharded ? [for shard in var.shards : "shard=${shard}/"] : [""]
  leading_lakes = local.sharded ? [for shard in local.leading : "shard=${shard}/"] : [""]

  input  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
  links  = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"
  output = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
  text   = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
  serde  = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
}

resource "aws_glue_catalog_database" "this" {
  name        = local.database
  description = "The last 24 hours of every gauge: tables by hour, current_* of the present, views"
}

resource "aws_glue_catalog_table" "windows" {
  for_each      = local.written.tables
  database_name = aws_glue_catalog_database.this.name
  name          = each.key
  description   = each.value.comment
  table_type    = "EXTERNAL_TABLE"

  # Partitions follow from the clock: none is ever added or dropped.
  parameters = merge({
    EXTERNAL                    = "TRUE"
    classification              = "parquet"
    "projection.enabled"        = "true"
    "projection.date.type"      = "date"
    "projection.date.format"    = "yyyy-MM-dd"
    "projection.date.range"     = "NOW-1DAYS,NOW"
    "projection.hour.type"      = "integer"
    "projection.hour.range"     = "0,23"
    "projection.hour.digits"    = "2"
    "storage.location.template" = "s3://${var.bucket}/${local.sharded ? each.value.template_of_shards : each.value.template}"
    }, local.sharded ? {
    "projection.shard.type"   = "enum"
    "projection.shard.values" = join(",", each.value.leading ? local.leading : var.shards)
  } : {})

  dynamic "partition_keys" {
    for_each = local.sharded ? ["shard"] : []

    content {
      name    = partition_keys.value
      type    = "string"
      comment = "Shard of the network"
    }
  }

  # `date` is a reserved word: a query quotes it, "date".
  partition_keys {
    name    = "date"
    type    = "string"
    comment = "Day of the window, UTC"
  }

  partition_keys {
    name    = "hour"
    type    = "int"
    comment = "Hour of the window, UTC"
  }

  storage_descriptor {
    location      = local.sharded ? "s3://${var.bucket}/" : "s3://${var.bucket}/${each.key}/"
    input_format  = local.input
    output_format = local.output

    ser_de_info {
      serialization_library = local.serde
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.comment
      }
    }
  }
}

# The present of all tables lies in one folder, and a table of Glue is a folder: a list names the one object, or that of
# each shard.
resource "aws_s3_object" "present" {
  for_each = local.present
  bucket   = var.scratch
  key      = "present/${each.key}/objects"
  content = join("", [
    for lake in each.value.leading ? local.leading_lakes : local.lakes :
    "s3://${var.bucket}/${lake}current/${each.key}.parquet\n"
  ])
}

resource "aws_glue_catalog_table" "present" {
  for_each      = local.present
  database_name = aws_glue_catalog_database.this.name
  name          = local.sharded && each.key == "stations" ? "current_stations_by_shard" : "current_${each.key}"
  description   = "The newest rows of ${each.key}, one object"
  table_type    = "EXTERNAL_TABLE"
  parameters    = { EXTERNAL = "TRUE", classification = "parquet" }

  storage_descriptor {
    location      = "s3://${var.scratch}/present/${each.key}/"
    input_format  = local.links
    output_format = local.text

    ser_de_info {
      serialization_library = local.serde
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.comment
      }
    }
  }

  depends_on = [aws_s3_object.present]
}

resource "aws_glue_catalog_table" "views" {
  for_each           = local.views
  database_name      = aws_glue_catalog_database.this.name
  name               = each.key
  description        = each.value.comment
  table_type         = "VIRTUAL_VIEW"
  parameters         = { presto_view = "true", comment = "Presto View" }
  view_expanded_text = "/* Presto View */"
  view_original_text = format("/* Presto View: %s */", base64encode(jsonencode({
    originalSql = each.value.sql
    catalog     = "awsdatacatalog"
    schema      = local.database
    columns     = each.value.presto
  })))

  storage_descriptor {
    dynamic "columns" {
      for_each = each.value.columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}

resource "aws_athena_workgroup" "this" {
  count         = var.workgroup ? 1 : 0
  name          = var.name
  description   = "Queries over the lake, each limited in what it scans"
  force_destroy = true

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.scan_limit_mb * 1000 * 1000

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location = "s3://${var.scratch}/athena/"

      encryption_configuration {
        encryption_option = "SSE_S3"
      }
    }
  }
}

resource "aws_athena_named_query" "this" {
  for_each    = var.workgroup ? local.queries : {}
  name        = each.key
  description = each.value.about
  workgroup   = aws_athena_workgroup.this[0].id
  database    = aws_glue_catalog_database.this.name
  query       = each.value.sql
}

# The bucket of the lake, and another one for what is no data: answers of Athena and logs of runs.

locals {
  # A row is never later than the last write of its object, so what is a day old by the bucket's clock has expired. Not
  # so for stations, measures, watermarks and _lake.json: they may be unchanged for days, and are needed.
  backstop = ["readings", "completeness", "timeliness", "rejects"]
  # Readings that wait for an archive that is away are not lost to the backstop.
  archived_within = 7
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:Access logs of a bucket that is written thousands of times a day cost more than the bucket; CloudTrail can be told to keep them
  #checkov:skip=CKV_AWS_21:Old versions would keep readable what the lake promises to delete after a day
  #checkov:skip=CKV_AWS_144:The last day is filled again from its source by two requests; a copy elsewhere is no use
  #checkov:skip=CKV_AWS_145:SSE-S3 encrypts at no cost; the data is public (Open Government Licence)
  #checkov:skip=CKV2_AWS_6:aws_s3_bucket_public_access_block.this blocks all of both
  #checkov:skip=CKV2_AWS_62:Only landing/ notifies, by the module streams
  for_each      = toset(["lake", "scratch"])
  bucket        = "${var.name}-${each.key}-${var.account}"
  force_destroy = var.force_destroy || each.key == "scratch"
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [each.value.arn, "${each.value.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

# Deletes what nobody deleted, a day or two after it expired. The product's own cleanup is what keeps the promise.
resource "aws_s3_bucket_lifecycle_configuration" "lake" {
  #checkov:skip=CKV_AWS_300:The first rule aborts them; the dynamic ones hide it from the check
  bucket = aws_s3_bucket.this["lake"].id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  dynamic "rule" {
    for_each = local.backstop

    content {
      id     = "backstop-${rule.value}"
      status = "Enabled"

      filter {
        prefix = "${rule.value}/"
      }

      expiration {
        days = var.archive != null && rule.value == "readings" ? local.archived_within : 1
      }
    }
  }

  dynamic "rule" {
    for_each = var.archive[*]

    content {
      id     = "archive"
      status = "Enabled"

      filter {
        prefix = "archive/"
      }

      # Later than any reading of the day may still come: a file in Glacier cannot be read, and so not grow.
      transition {
        days          = local.archived_within + 1
        storage_class = rule.value.storage_class
      }

      expiration {
        days = rule.value.keep_days
      }
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "scratch" {
  bucket = aws_s3_bucket.this["scratch"].id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # Answers hold readings, which are kept no longer than a day; Dagster's logs of runs hold none.
  dynamic "rule" {
    for_each = { athena = 1, logs = 14 }

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = "${rule.key}/"
      }

      expiration {
        days = rule.value
      }
    }
  }
}

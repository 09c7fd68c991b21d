# Where changes are published to; docs/publishing.md says what is sent. What lands is in landing.tf.

locals {
  has = { for sink in ["kinesis", "sqs", "sns", "eventbridge", "dynamodb"] : sink => contains(var.sinks, sink) }
}

resource "aws_kinesis_stream" "readings" {
  count            = local.has.kinesis ? 1 : 0
  name             = "${var.name}-readings"
  shard_count      = var.shards
  retention_period = 24
  encryption_type  = "KMS"
  kms_key_id       = "alias/aws/kinesis"

  stream_mode_details {
    stream_mode = "PROVISIONED"
  }
}

resource "aws_sqs_queue" "readings" {
  count                     = local.has.sqs ? 1 : 0
  name                      = "${var.name}-readings"
  message_retention_seconds = 86400
  sqs_managed_sse_enabled   = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.readings_dead[0].arn
    maxReceiveCount     = 5
  })
}

# The retention counts from the first send, so what dies is kept a day longer than what waits.
resource "aws_sqs_queue" "readings_dead" {
  count                     = local.has.sqs ? 1 : 0
  name                      = "${var.name}-readings-dead"
  message_retention_seconds = 172800
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "readings" {
  count     = local.has.sqs ? 1 : 0
  queue_url = aws_sqs_queue.readings[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.readings[0].arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_sns_topic" "commits" {
  count             = local.has.sns ? 1 : 0
  name              = "${var.name}-commits"
  kms_master_key_id = "alias/aws/sns"
}

resource "aws_cloudwatch_event_bus" "this" {
  count = local.has.eventbridge ? 1 : 0
  name  = var.name
}

resource "aws_dynamodb_table" "latest" {
  #checkov:skip=CKV_AWS_119:Encrypted by AWS's own key; the data is public
  #checkov:skip=CKV2_AWS_16:On demand, there is no capacity to scale
  #checkov:skip=CKV_AWS_28:The table holds one day, which is published anew; set recovery to keep backups
  count        = local.has.dynamodb ? 1 : 0
  name         = "${var.name}-latest"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "measure_id"

  attribute {
    name = "measure_id"
    type = "S"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = var.recovery
  }

  server_side_encryption {
    enabled = true
  }
}

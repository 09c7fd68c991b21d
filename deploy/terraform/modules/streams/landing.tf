# What is pushed: S3 tells a queue of each batch below landing/; a stream takes what feeds put there.

resource "aws_sqs_queue" "landing" {
  count                      = var.push.queue ? 1 : 0
  name                       = "${var.name}-landing"
  message_retention_seconds  = 86400
  visibility_timeout_seconds = 900
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.landing_dead[0].arn
    maxReceiveCount     = 5
  })
}

resource "aws_sqs_queue" "landing_dead" {
  count                     = var.push.queue ? 1 : 0
  name                      = "${var.name}-landing-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "landing" {
  count     = var.push.queue ? 1 : 0
  queue_url = aws_sqs_queue.landing[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TheBucketSends"
        Effect    = "Allow"
        Principal = { Service = "s3.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.landing[0].arn
        Condition = {
          ArnEquals    = { "aws:SourceArn" = var.bucket_arn }
          StringEquals = { "aws:SourceAccount" = var.account }
        }
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.landing[0].arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_s3_bucket_notification" "landing" {
  count  = var.push.queue ? 1 : 0
  bucket = var.bucket

  queue {
    id            = "landing"
    queue_arn     = aws_sqs_queue.landing[0].arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "landing/"
  }

  # S3 sends a test message at once, and refuses a queue that does not take it.
  depends_on = [aws_sqs_queue_policy.landing]
}

resource "aws_kinesis_stream" "landing" {
  count            = var.push.stream ? 1 : 0
  name             = "${var.name}-landing"
  shard_count      = var.shards
  retention_period = 24
  encryption_type  = "KMS"
  kms_key_id       = "alias/aws/kinesis"

  stream_mode_details {
    stream_mode = "PROVISIONED"
  }
}

# Records that the function could not ingest after its tries: where they are in the stream.
resource "aws_sqs_queue" "landing_stream_dead" {
  count                     = var.push.stream ? 1 : 0
  name                      = "${var.name}-landing-stream-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

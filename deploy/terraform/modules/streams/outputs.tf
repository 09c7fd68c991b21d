locals {
  sinks = {
    kinesis = {
      url     = one([for s in aws_kinesis_stream.readings : "kinesis://${s.name}"])
      arn     = one(aws_kinesis_stream.readings[*].arn)
      actions = ["kinesis:PutRecords"]
    }
    sqs = {
      url     = one([for q in aws_sqs_queue.readings : "sqs://${q.name}"])
      arn     = one(aws_sqs_queue.readings[*].arn)
      actions = ["sqs:SendMessage", "sqs:GetQueueUrl"]
    }
    sns = {
      url     = one([for t in aws_sns_topic.commits : "sns://${t.arn}"])
      arn     = one(aws_sns_topic.commits[*].arn)
      actions = ["sns:Publish"]
    }
    eventbridge = {
      url     = one([for b in aws_cloudwatch_event_bus.this : "eventbridge://${b.name}"])
      arn     = one(aws_cloudwatch_event_bus.this[*].arn)
      actions = ["events:PutEvents"]
    }
    dynamodb = {
      url     = one([for t in aws_dynamodb_table.latest : "dynamodb://${t.name}"])
      arn     = one(aws_dynamodb_table.latest[*].arn)
      actions = ["dynamodb:PutItem"]
    }
  }
  chosen = { for name, sink in local.sinks : name => sink if local.has[name] }
}

output "urls" {
  description = "What FLOOD_PUBLISH names"
  value       = [for sink in local.chosen : sink.url]
}

output "landing_queue" {
  description = "FLOOD_LANDING_QUEUE, and the ARN of that queue; null without one"
  value       = one([for q in aws_sqs_queue.landing : { url = "sqs://${q.name}", arn = q.arn }])
}

output "landing_stream" {
  description = "ARN of the stream that feeds are pushed to, and of the queue of its dead records; null without one"
  value = one([
    for at, s in aws_kinesis_stream.landing : { arn = s.arn, dead = aws_sqs_queue.landing_stream_dead[at].arn }
  ])
}

output "dead_letters" {
  description = "Queues in which nothing should be, by what died"
  value = merge(
    local.has.sqs ? { readings = "${var.name}-readings-dead" } : {},
    var.push.queue ? { landing = "${var.name}-landing-dead" } : {},
    var.push.stream ? { landing-stream = "${var.name}-landing-stream-dead" } : {},
  )
}

output "policies" {
  description = "What a role may do, as policies by name: publish, and read what lands"
  value = merge(
    length(var.sinks) == 0 ? {} : {
      publish = jsonencode({
        Version = "2012-10-17"
        Statement = concat(
          [for sink in local.chosen : { Effect = "Allow", Action = sink.actions, Resource = sink.arn }],
          # Encrypted topics and streams: the keys of AWS, by way of their services only.
          length(setintersection(var.sinks, ["kinesis", "sns"])) == 0 ? [] : [local.keys],
        )
      })
    },
    !var.push.queue ? {} : {
      landing = jsonencode({
        Version = "2012-10-17"
        Statement = [{
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
          Resource = aws_sqs_queue.landing[0].arn
        }]
      })
    },
    !var.push.stream ? {} : {
      landing-stream = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Effect = "Allow"
            Action = [
              "kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords",
              "kinesis:GetShardIterator", "kinesis:ListShards",
            ]
            Resource = aws_kinesis_stream.landing[0].arn
          },
          { Effect = "Allow", Action = ["sqs:SendMessage"], Resource = aws_sqs_queue.landing_stream_dead[0].arn },
          local.keys,
        ]
      })
    },
  )
}

# Who is told when something breaks, or stops telling. docs/operations.md says for each what to do.

locals {
  # What the product writes to its log at the end of each run, in CloudWatch's embedded metric format.
  ours = { namespace = "FloodAssets", dimensions = { environment = var.name } }

  # Each tells at any time that all is well, so that silence is an alarm.
  steady = merge(
    {
      refresh = merge(local.ours, {
        about = "No refresh has succeeded for 45 minutes"
        name  = "RefreshSucceeded", statistic = "Sum", operator = "LessThanThreshold", threshold = 1, period = 900, periods = 3
      })
      fresh = merge(local.ours, {
        about = "The newest reading is over two hours old"
        name  = "NewestReadingAge", statistic = "Minimum", operator = "GreaterThanThreshold", threshold = 7200, period = 900, periods = 2
      })
    },
    var.publishes ? {
      sinks = merge(local.ours, {
        about = "A change has waited over half an hour to be published"
        name  = "SinkLag", statistic = "Maximum", operator = "GreaterThanThreshold", threshold = 1800, period = 900, periods = 2
      })
    } : {},
    var.compute == "ecs" ? {
      task = {
        about     = "Dagster's task does not run"
        namespace = "AWS/ECS", dimensions = { ClusterName = var.watched.cluster, ServiceName = "dagster" }
        name      = "CPUUtilization", statistic = "SampleCount", operator = "LessThanThreshold", threshold = 1, period = 300, periods = 3
      }
      database = {
        about     = "Dagster's database has less than 2 GB left"
        namespace = "AWS/RDS", dimensions = { DBInstanceIdentifier = var.watched.database }
        name      = "FreeStorageSpace", statistic = "Minimum", operator = "LessThanThreshold", threshold = 2000000000, period = 300, periods = 3
      }
    } : {},
    var.compute == "ec2" ? {
      machine = {
        about     = "The machine fails its checks, or is gone"
        namespace = "AWS/EC2", dimensions = { InstanceId = var.watched.instance }
        name      = "StatusCheckFailed", statistic = "Maximum", operator = "GreaterThanThreshold", threshold = 0, period = 300, periods = 3
      }
    } : {},
  )

  # These tell only when there is something to tell, so that silence is well: of a queue that nothing passes through AWS
  # tells nothing after six hours. What no run tells at all, "refresh" hears.
  rare = merge(
    {
      errors = merge(
        # A function that is killed prints no metrics, and Lambda counts it.
        var.compute == "lambda" ? { namespace = "AWS/Lambda", dimensions = { FunctionName = var.watched.function }, name = "Errors" }
        : merge(local.ours, { name = "Failures" }),
        {
          about     = "A step of the refresh has failed three times in a row"
          statistic = "Sum", operator = "GreaterThanThreshold", threshold = 0, period = 900, periods = 3
        },
      )
    },
    {
      for short, queue in var.dead_letters : "dead-${short}" => {
        about     = "There are dead letters in ${queue}"
        namespace = "AWS/SQS", dimensions = { QueueName = queue }
        name      = "ApproximateNumberOfMessagesVisible", statistic = "Maximum", operator = "GreaterThanThreshold", threshold = 0, period = 300, periods = 1
      }
    },
    var.has.landing ? {
      landing = {
        about     = "What was pushed has waited over an hour to be ingested"
        namespace = "AWS/SQS", dimensions = { QueueName = var.watched.landing }
        name      = "ApproximateAgeOfOldestMessage", statistic = "Maximum", operator = "GreaterThanThreshold", threshold = 3600, period = 300, periods = 2
      }
    } : {},
    var.has.gateway ? {
      answers = {
        about     = "The server fails to answer"
        namespace = "AWS/ApiGateway", dimensions = { ApiId = var.watched.gateway }
        name      = "5xx", statistic = "Sum", operator = "GreaterThanThreshold", threshold = 10, period = 300, periods = 2
      }
    } : {},
  )

  alarms = merge(
    { for name, alarm in local.steady : name => merge(alarm, { silence = "breaching" }) },
    { for name, alarm in local.rare : name => merge(alarm, { silence = "notBreaching" }) },
  )
}

resource "aws_sns_topic" "people" {
  #checkov:skip=CKV_AWS_26:CloudWatch cannot publish to a topic with AWS's own key, and one of ours costs a dollar a month
  name = "${var.name}-people"
}

resource "aws_sns_topic_policy" "people" {
  arn = aws_sns_topic.people.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.people.arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_sns_topic_subscription" "people" {
  for_each  = var.emails
  topic_arn = aws_sns_topic.people.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.about
  namespace           = each.value.namespace
  dimensions          = each.value.dimensions
  metric_name         = each.value.name
  statistic           = each.value.statistic
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.silence
  alarm_actions       = [aws_sns_topic.people.arn]
  ok_actions          = [aws_sns_topic.people.arn]
}

resource "aws_budgets_budget" "month" {
  count        = var.budget_usd > 0 ? 1 : 0
  name         = var.name
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = var.budget_usd
  limit_unit   = "USD"

  # Of this environment, once the tag is activated for cost allocation; until then the budget counts nothing.
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:environment%s%s", "$", var.name)]
  }

  notification {
    notification_type         = "FORECASTED"
    comparison_operator       = "GREATER_THAN"
    threshold                 = 100
    threshold_type            = "PERCENTAGE"
    subscriber_sns_topic_arns = [aws_sns_topic.people.arn]
  }
}

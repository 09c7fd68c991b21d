# The product without Dagster: functions of one image, and a timetable.

data "aws_region" "here" {}

data "aws_caller_identity" "me" {}

locals {
  lake = var.lake_policies
  # At most one at a time, where two would only do the same work twice.
  functions = merge(
    {
      refresh   = { policies = { lake = local.lake.write }, timeout = 780, memory = var.memory, at_once = 1 }
      reconcile = { policies = { lake = local.lake.write }, timeout = 780, memory = var.memory, at_once = 1 }
      expire    = { policies = { lake = local.lake.write }, timeout = 300, memory = 512, at_once = 1 }
      api       = { policies = { lake = local.lake.serve }, timeout = 60, memory = var.memory, at_once = var.answers }
    },
    var.publishes ? {
      publish = {
        policies = merge(
          { lake = local.lake.cursors }, var.sinks ? { sinks = var.stream_policies.publish } : {},
        )
        timeout = 300, memory = var.memory / 2, at_once = 1
      }
    } : {},
    var.push.queue || var.push.stream ? {
      landing = {
        policies = merge(
          { lake = local.lake.write },
          { for name, policy in var.stream_policies : name => policy if startswith(name, "landing") },
        )
        timeout = 300, memory = var.memory / 2, at_once = 2
      }
    } : {},
  )

  # Expiry and, every six hours, the reconcile run between two refreshes; publication some minutes after each.
  timetable = merge(
    {
      refresh   = "cron(0/15 * * * ? *)"
      reconcile = "cron(7 1,7,13,19 * * ? *)"
      expire    = "cron(2/15 * * * ? *)"
    },
    var.publishes ? { publish = "cron(11/15 * * * ? *)" } : {},
  )

  attached = merge([
    for function, settings in local.functions : {
      for name, policy in settings.policies : "${function}-${name}" => { function = function, policy = policy }
    }
  ]...)
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:Encrypted by AWS's own key; no log holds a secret
  #checkov:skip=CKV_AWS_338:A year of logs is not wanted; log_days decides
  for_each          = local.functions
  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_days
}

resource "aws_iam_role" "this" {
  for_each = local.functions
  name     = "${var.name}-${each.key}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.attached
  name     = each.key
  role     = aws_iam_role.this[each.value.function].id
  policy   = each.value.policy
}

resource "aws_iam_role_policy" "logs" {
  for_each = local.functions
  name     = "logs"
  role     = aws_iam_role.this[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.this[each.key].arn}:*"
    }]
  })
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:Tracing by X-Ray costs, and a function of one step has nothing to trace
  #checkov:skip=CKV_AWS_116:What fails is done by the next tick; queues and streams have dead letters of their own
  #checkov:skip=CKV_AWS_117:In a network of ours a function would need a NAT to reach the API
  #checkov:skip=CKV_AWS_173:Encrypted by AWS's own key; the environment holds no secret
  #checkov:skip=CKV_AWS_272:Images cannot be signed for Lambda
  for_each                       = local.functions
  function_name                  = "${var.name}-${each.key}"
  role                           = aws_iam_role.this[each.key].arn
  package_type                   = "Image"
  image_uri                      = var.image
  architectures                  = ["arm64"]
  memory_size                    = each.value.memory
  timeout                        = each.value.timeout
  reserved_concurrent_executions = each.value.at_once

  image_config {
    entry_point = ["python", "-m", "awslambdaric"]
    command     = ["flood_assets.functions.${each.key}"]
  }

  # Arrow reads its setting when it is loaded. Only one function publishes, as only one has the rights.
  environment {
    variables = merge(
      { for name, value in var.environment : name => value if name != "FLOOD_PUBLISH" || each.key == "publish" },
      { HOME = "/tmp", ARROW_DEFAULT_MEMORY_POOL = "system" },
    )
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this[each.key].name
  }

  depends_on = [aws_iam_role_policy.logs, aws_iam_role_policy.this]
}

# A tick that failed is not tried again: the next one does its work.
resource "aws_lambda_function_event_invoke_config" "this" {
  for_each                     = local.timetable
  function_name                = aws_lambda_function.this[each.key].function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 600
}

resource "aws_iam_role" "timetable" {
  name = "${var.name}-timetable"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.me.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "timetable" {
  name = "invoke"
  role = aws_iam_role.timetable.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction"]
      Resource = [for name in keys(local.timetable) : aws_lambda_function.this[name].arn]
    }]
  })
}

resource "aws_scheduler_schedule" "this" {
  #checkov:skip=CKV_AWS_297:A schedule holds no secret
  for_each            = local.timetable
  name                = "${var.name}-${each.key}"
  schedule_expression = each.value

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this[each.key].arn
    role_arn = aws_iam_role.timetable.arn

    retry_policy {
      maximum_retry_attempts       = 1
      maximum_event_age_in_seconds = 600
    }
  }
}

# Never open to the world: callers sign what they ask, as CloudFront does, or come through the gateway.
resource "aws_lambda_function_url" "api" {
  function_name      = aws_lambda_function.this["api"].function_name
  authorization_type = "AWS_IAM"
}

resource "aws_lambda_event_source_mapping" "queue" {
  count                              = var.push.queue ? 1 : 0
  function_name                      = aws_lambda_function.this["landing"].arn
  event_source_arn                   = var.landing_queue
  batch_size                         = 100
  maximum_batching_window_in_seconds = 5
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 2
  }
}

resource "aws_lambda_event_source_mapping" "stream" {
  count                              = var.push.stream ? 1 : 0
  function_name                      = aws_lambda_function.this["landing"].arn
  event_source_arn                   = var.landing_stream.arn
  starting_position                  = "TRIM_HORIZON"
  batch_size                         = 1000
  maximum_batching_window_in_seconds = 5
  maximum_retry_attempts             = 20
  maximum_record_age_in_seconds      = 82800
  bisect_batch_on_function_error     = true
  function_response_types            = ["ReportBatchItemFailures"]

  destination_config {
    on_failure {
      destination_arn = var.landing_stream.dead
    }
  }
}

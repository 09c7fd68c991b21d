# Off outside working hours, which halves the bill: tasks by their service's timetable, the database by a call.

locals {
  services = toset(var.off_at_night ? concat(["dagster"], local.inside ? [] : ["serve"]) : [])
  times    = { on = "cron(0 7 ? * MON-FRI *)", off = "cron(0 19 ? * MON-FRI *)" }
  timetable = merge([
    for service in local.services : { for state, time in local.times : "${service}-${state}" => { service = service, state = state, time = time } }
  ]...)
}

resource "aws_appautoscaling_target" "this" {
  for_each           = local.services
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${each.key}"
  min_capacity       = 0
  max_capacity       = each.key == "serve" ? var.serve_tasks : 1
  depends_on         = [aws_ecs_service.dagster, aws_ecs_service.serve]

  # The timetable changes it.
  lifecycle {
    ignore_changes = [min_capacity, max_capacity]
  }
}

resource "aws_appautoscaling_scheduled_action" "this" {
  for_each           = local.timetable
  name               = "${var.name}-${each.key}"
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = aws_appautoscaling_target.this[each.value.service].resource_id
  schedule           = each.value.time
  timezone           = "Europe/London"

  scalable_target_action {
    min_capacity = each.value.state == "on" ? (each.value.service == "serve" ? var.serve_tasks : 1) : 0
    max_capacity = each.value.state == "on" ? (each.value.service == "serve" ? var.serve_tasks : 1) : 0
  }
}

resource "aws_iam_role" "night" {
  count = var.off_at_night ? 1 : 0
  name  = "${var.name}-night"
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

resource "aws_iam_role_policy" "night" {
  count = var.off_at_night ? 1 : 0
  name  = "database"
  role  = aws_iam_role.night[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["rds:StartDBInstance", "rds:StopDBInstance"]
      Resource = aws_db_instance.dagster.arn
    }]
  })
}

# The database is up a quarter of an hour before the tasks, and goes after them. AWS starts a stopped database again
# after seven days; these stop it each evening, weekends too.
resource "aws_scheduler_schedule" "database" {
  #checkov:skip=CKV_AWS_297:A schedule holds no secret
  for_each                     = var.off_at_night ? { start = "cron(45 6 ? * MON-FRI *)", stop = "cron(15 19 * * ? *)" } : {}
  name                         = "${var.name}-database-${each.key}"
  schedule_expression          = each.value
  schedule_expression_timezone = "Europe/London"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = "arn:aws:scheduler:::aws-sdk:rds:${each.key}DBInstance"
    role_arn = aws_iam_role.night[0].arn
    input    = jsonencode({ DbInstanceIdentifier = aws_db_instance.dagster.identifier })
  }
}

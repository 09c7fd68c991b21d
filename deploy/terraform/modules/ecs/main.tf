# One task with Dagster's code server, daemon and webserver; serve is in it, or in a service of its own.

data "aws_region" "here" {}

data "aws_caller_identity" "me" {}

locals {
  inside = var.serve_tasks == 0
  serve  = merge(local.container, local.serves)
}

resource "aws_ecs_cluster" "this" {
  #checkov:skip=CKV_AWS_65:Container Insights cost more than the task; the alarms look at the product's own metrics
  name = var.name
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:Encrypted by AWS's own key; no log holds a secret
  #checkov:skip=CKV_AWS_338:A year of logs is not wanted; log_days decides
  name              = "/${var.name}"
  retention_in_days = var.log_days
}

resource "aws_ecs_task_definition" "dagster" {
  #checkov:skip=CKV_AWS_336:The agent of the port forward writes into the webserver's file system; all others are read-only
  family                   = "${var.name}-dagster"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.size.cpu
  memory                   = var.size.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task["dagster"].arn

  container_definitions = jsonencode(concat(
    local.dagster,
    local.inside ? [merge(local.serve, { dependsOn = local.prepared })] : [],
  ))

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }

  volume {
    name = "dagster"
  }

  volume {
    name = "tmp"
  }
}

resource "aws_ecs_service" "dagster" {
  #checkov:skip=CKV_AWS_333:A public address without an inbound rule is what saves the NAT
  name                   = "dagster"
  cluster                = aws_ecs_cluster.this.id
  task_definition        = aws_ecs_task_definition.dagster.arn
  desired_count          = 1
  launch_type            = "FARGATE"
  platform_version       = "LATEST"
  enable_execute_command = true
  propagate_tags         = "SERVICE"

  # Two daemons would both tick: the old task ends before the new one starts.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.network.public_subnets
    security_groups  = [var.network.app_group]
    assign_public_ip = true
  }

  dynamic "service_registries" {
    for_each = local.inside ? var.service_arn[*] : []

    content {
      registry_arn   = service_registries.value
      container_name = "serve"
      container_port = 8000
    }
  }

  # The timetable of the night changes it.
  lifecycle {
    ignore_changes = [desired_count]
  }
}

resource "aws_ecs_task_definition" "serve" {
  count                    = local.inside ? 0 : 1
  family                   = "${var.name}-serve"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.size.cpu
  memory                   = var.size.memory / 2
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task["serve"].arn

  # Without Dagster there is nothing to prepare: /tmp is not written, but by packed uploads of Arrow.
  container_definitions = jsonencode([merge(local.serve, {
    mountPoints = [], linuxParameters = { initProcessEnabled = true }
  })])

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }
}

resource "aws_ecs_service" "serve" {
  #checkov:skip=CKV_AWS_333:A public address without an inbound rule from outside is what saves the NAT
  count            = local.inside ? 0 : 1
  name             = "serve"
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.serve[0].arn
  desired_count    = var.serve_tasks
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  propagate_tags   = "SERVICE"

  # Any number of servers may serve one lake: new ones answer before old ones go.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.network.public_subnets
    security_groups  = [var.network.app_group]
    assign_public_ip = true
  }

  dynamic "service_registries" {
    for_each = var.service_arn[*]

    content {
      registry_arn   = service_registries.value
      container_name = "serve"
      container_port = 8000
    }
  }

  lifecycle {
    ignore_changes = [desired_count]
  }
}

# A run's own task, where run_tasks is on: Dagster puts its command behind `env`.
resource "aws_ecs_task_definition" "run" {
  count                    = var.run_tasks ? 1 : 0
  family                   = "${var.name}-run"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.size.cpu
  memory                   = var.size.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task["run"].arn

  container_definitions = jsonencode([merge(local.container, {
    name       = "run"
    entryPoint = ["env"]
    command    = ["true"]
    # Its volumes would belong to root, and nobody has prepared them.
    readonlyRootFilesystem = false
    mountPoints            = []
    environment            = concat([for each in local.environment : each if each.name != "DAGSTER_HOME"], [{ name = "DAGSTER_HOME", value = "/tmp" }])
  })])

  #checkov:skip=CKV_AWS_336:A run writes its logs into /tmp, and its task ends with it
  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }
}

locals {
  trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.me.account_id } }
    }]
  })

  # Policies of each role.
  task = merge(
    { dagster = merge(var.policies, { forward = local.forward }, var.run_tasks ? { runs = local.runs } : {}) },
    var.run_tasks ? { run = var.policies } : {},
    local.inside ? {} : { serve = { serve = var.serve_policy } },
  )
  attached = merge([
    for role, policies in local.task : { for name, policy in policies : "${role}-${name}" => { role = role, policy = policy } }
  ]...)

  # The port forward to the UI. These actions know no resource.
  forward = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
      ]
      Resource = "*"
    }]
  })

  runs = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["ecs:RunTask"]
        Resource = "arn:aws:ecs:${data.aws_region.here.name}:${data.aws_caller_identity.me.account_id}:task-definition/${var.name}-run:*"
      },
      {
        Effect   = "Allow"
        Action   = ["ecs:DescribeTasks", "ecs:StopTask", "ecs:TagResource"]
        Resource = "arn:aws:ecs:${data.aws_region.here.name}:${data.aws_caller_identity.me.account_id}:task/${var.name}/*"
      },
      # It knows no resource.
      { Effect = "Allow", Action = ["ecs:DescribeTaskDefinition"], Resource = "*" },
      {
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [aws_iam_role.execution.arn, "arn:aws:iam::${data.aws_caller_identity.me.account_id}:role/${var.name}-run"]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ]
  })
}

# What ECS itself needs to start a task.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this.arn}:*"
      },
      { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = aws_secretsmanager_secret.database.arn },
      # It knows no resource.
      { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = "*" },
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "arn:aws:ecr:${data.aws_region.here.name}:${data.aws_caller_identity.me.account_id}:repository/*"
      },
    ]
  })
}

resource "aws_iam_role" "task" {
  for_each           = toset(keys(local.task))
  name               = "${var.name}-${each.key}"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "task" {
  for_each = local.attached
  name     = each.key
  role     = aws_iam_role.task[each.value.role].id
  policy   = each.value.policy
}

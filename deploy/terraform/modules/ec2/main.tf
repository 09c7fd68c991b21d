# One machine with Dagster, its records on its own disk, and serve: units of systemd that run containers of the image.

data "aws_region" "here" {}

data "aws_caller_identity" "me" {}

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
}

resource "aws_iam_role" "this" {
  name = "${var.name}-machine"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = merge(var.policies, { machine = local.machine })
  name     = each.key
  role     = aws_iam_role.this.id
  policy   = each.value
}

locals {
  machine = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # Session Manager: the UI's port forward and a shell, without a key or an open port. These know no resource.
      {
        Effect = "Allow"
        Action = [
          "ssm:UpdateInstanceInformation", "ecr:GetAuthorizationToken",
          "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
          "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
        ]
        Resource = "*"
      },
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "arn:aws:ecr:${data.aws_region.here.name}:${data.aws_caller_identity.me.account_id}:repository/*"
      },
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this.arn}:*"
      },
    ]
  })

  user_data = templatefile("${path.module}/cloud-config.yaml.tftpl", {
    region      = data.aws_region.here.name
    log_group   = aws_cloudwatch_log_group.this.name
    image       = var.image
    registry    = split("/", var.image)[0]
    private     = endswith(split("/", var.image)[0], ".amazonaws.com")
    environment = merge(var.environment, { AWS_DEFAULT_REGION = data.aws_region.here.name })
    settings    = file("${path.module}/../../../../dagster_home/dagster.yaml")
    units = {
      code = {
        after   = "flood-prepare"
        program = "dagster"
        # Not `code-server start`: half a minute after SIGTERM that one gives up the run that it waits for.
        command = "api grpc --host 127.0.0.1 --port 4000 --module-name flood_assets.definitions"
      }
      daemon    = { after = "flood-code", program = "dagster-daemon", command = "run -w /dagster/workspace.yaml" }
      webserver = { after = "flood-code", program = "dagster-webserver", command = "--host 127.0.0.1 --port 3000 -w /dagster/workspace.yaml" }
      serve     = { after = "flood-prepare", program = "flood-assets", command = "serve --host 0.0.0.0 --port 8000" }
    }
  })
}

# CloudWatch takes the product's metrics out of its log.
resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:Encrypted by AWS's own key; no log holds a secret
  #checkov:skip=CKV_AWS_338:A year of logs is not wanted; log_days decides
  name              = "/${var.name}"
  retention_in_days = var.log_days
}

resource "aws_iam_instance_profile" "this" {
  name = aws_iam_role.this.name
  role = aws_iam_role.this.name
}

resource "aws_instance" "this" {
  #checkov:skip=CKV_AWS_88:A public address without an inbound rule is what saves the NAT
  #checkov:skip=CKV_AWS_126:Detailed monitoring costs 2 USD and tells nothing that the alarms need
  ami                         = data.aws_ssm_parameter.image.value
  instance_type               = var.instance_type
  subnet_id                   = var.network.public_subnets[0]
  vpc_security_group_ids      = [var.network.app_group]
  associate_public_ip_address = true
  iam_instance_profile        = aws_iam_instance_profile.this.name
  ebs_optimized               = true
  user_data                   = local.user_data
  user_data_replace_on_change = true
  tags                        = { Name = var.name }

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted   = true
    volume_type = "gp3"
    volume_size = var.disk_gb
  }

  # A new image of Amazon Linux replaces no machine that runs.
  lifecycle {
    ignore_changes = [ami]
  }
}

resource "aws_service_discovery_instance" "serve" {
  count       = var.registered ? 1 : 0
  service_id  = var.service_id
  instance_id = aws_instance.this.id

  attributes = {
    AWS_INSTANCE_IPV4 = aws_instance.this.private_ip
    AWS_INSTANCE_PORT = "8000"
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
  name  = "machine"
  role  = aws_iam_role.night[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["ec2:StartInstances", "ec2:StopInstances"]
      Resource = aws_instance.this.arn
    }]
  })
}

resource "aws_scheduler_schedule" "machine" {
  #checkov:skip=CKV_AWS_297:A schedule holds no secret
  for_each                     = var.off_at_night ? { start = "cron(0 7 ? * MON-FRI *)", stop = "cron(0 19 ? * MON-FRI *)" } : {}
  name                         = "${var.name}-machine-${each.key}"
  schedule_expression          = each.value
  schedule_expression_timezone = "Europe/London"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = "arn:aws:scheduler:::aws-sdk:ec2:${each.key}Instances"
    role_arn = aws_iam_role.night[0].arn
    input    = jsonencode({ InstanceIds = [aws_instance.this.id] })
  }
}

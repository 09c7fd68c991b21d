# The one way in. The gateway costs by request, and answers up to 10 MB within 30 seconds; CloudFront has no such limits.

locals {
  # CloudFront reaches a machine by itself. A task has no fixed address: the gateway finds it in Cloud Map.
  gateway = var.kind == "gateway" || var.compute == "ecs"
  cdn     = var.kind == "cdn"
  linked  = local.gateway && var.compute != "lambda"
}

resource "aws_security_group" "link" {
  count       = local.linked ? 1 : 0
  name_prefix = "${var.name}-link-"
  description = "The gateway: out to serve"
  vpc_id      = var.network.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "link" {
  count                        = local.linked ? 1 : 0
  security_group_id            = aws_security_group.link[0].id
  description                  = "serve"
  ip_protocol                  = "tcp"
  from_port                    = 8000
  to_port                      = 8000
  referenced_security_group_id = var.network.app_group
}

resource "aws_vpc_security_group_ingress_rule" "link" {
  count                        = local.linked ? 1 : 0
  security_group_id            = var.network.app_group
  description                  = "From the gateway"
  ip_protocol                  = "tcp"
  from_port                    = 8000
  to_port                      = 8000
  referenced_security_group_id = aws_security_group.link[0].id
}

resource "aws_apigatewayv2_vpc_link" "this" {
  count              = local.linked ? 1 : 0
  name               = var.name
  security_group_ids = [aws_security_group.link[0].id]
  subnet_ids         = var.network.public_subnets
}

resource "aws_apigatewayv2_api" "this" {
  count         = local.gateway ? 1 : 0
  name          = var.name
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "linked" {
  count              = local.linked ? 1 : 0
  api_id             = aws_apigatewayv2_api.this[0].id
  integration_type   = "HTTP_PROXY"
  integration_method = "ANY"
  integration_uri    = var.service_arn
  connection_type    = "VPC_LINK"
  connection_id      = aws_apigatewayv2_vpc_link.this[0].id
}

resource "aws_apigatewayv2_integration" "function" {
  count                  = local.gateway && !local.linked ? 1 : 0
  api_id                 = aws_apigatewayv2_api.this[0].id
  integration_type       = "AWS_PROXY"
  integration_uri        = var.function.invoke_arn
  payload_format_version = "2.0"
}

resource "aws_lambda_permission" "gateway" {
  count         = local.gateway && !local.linked ? 1 : 0
  statement_id  = "Gateway"
  action        = "lambda:InvokeFunction"
  function_name = var.function.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this[0].execution_arn}/*"
}

resource "aws_apigatewayv2_route" "all" {
  #checkov:skip=CKV_AWS_309:The data is public; serve asks for keys where they are wanted
  count     = local.gateway ? 1 : 0
  api_id    = aws_apigatewayv2_api.this[0].id
  route_key = "$default"
  target    = "integrations/${one(concat(aws_apigatewayv2_integration.linked[*].id, aws_apigatewayv2_integration.function[*].id))}"
}

resource "aws_cloudwatch_log_group" "gateway" {
  #checkov:skip=CKV_AWS_158:Encrypted by AWS's own key; no log holds a secret
  #checkov:skip=CKV_AWS_338:Addresses of readers are not kept for a year; log_days decides
  count             = local.gateway ? 1 : 0
  name              = "/${var.name}/gateway"
  retention_in_days = var.log_days
}

resource "aws_apigatewayv2_stage" "this" {
  count       = local.gateway ? 1 : 0
  api_id      = aws_apigatewayv2_api.this[0].id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = var.throttle.rate
    throttling_burst_limit   = var.throttle.burst
    detailed_metrics_enabled = true
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.gateway[0].arn
    format          = "$context.identity.sourceIp $context.requestTime $context.httpMethod $context.path $context.status $context.responseLength $context.responseLatency"
  }
}

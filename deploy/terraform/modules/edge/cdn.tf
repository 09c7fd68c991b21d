# CloudFront, with a firewall if one is wanted.

locals {
  origin = !local.cdn ? null : (
    local.gateway ? replace(aws_apigatewayv2_api.this[0].api_endpoint, "https://", "")
    : var.compute == "lambda" ? var.function.url_host : var.instance.host
  )
  direct = local.cdn && var.compute == "ec2"
  signed = local.cdn && var.compute == "lambda"
}

# CloudFront makes an interface of its own in the network: nothing is open to the internet.
resource "aws_cloudfront_vpc_origin" "this" {
  count = local.direct ? 1 : 0

  vpc_origin_endpoint_config {
    name                   = var.name
    arn                    = var.instance.arn
    http_port              = 8000
    https_port             = 443
    origin_protocol_policy = "http-only"

    origin_ssl_protocols {
      items    = ["TLSv1.2"]
      quantity = 1
    }
  }
}

data "aws_ec2_managed_prefix_list" "cloudfront" {
  count = local.direct ? 1 : 0
  name  = "com.amazonaws.global.cloudfront.origin-facing"
}

resource "aws_vpc_security_group_ingress_rule" "cloudfront" {
  count             = local.direct ? 1 : 0
  security_group_id = var.network.app_group
  description       = "From CloudFront"
  ip_protocol       = "tcp"
  from_port         = 8000
  to_port           = 8000
  prefix_list_id    = data.aws_ec2_managed_prefix_list.cloudfront[0].id
}

resource "aws_cloudfront_origin_access_control" "function" {
  count                             = local.signed ? 1 : 0
  name                              = var.name
  origin_access_control_origin_type = "lambda"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

resource "aws_lambda_permission" "cloudfront" {
  for_each      = toset(local.signed ? ["InvokeFunctionUrl", "InvokeFunction"] : [])
  statement_id  = "CloudFront${each.key}"
  action        = "lambda:${each.key}"
  function_name = var.function.name
  principal     = "cloudfront.amazonaws.com"
  source_arn    = aws_cloudfront_distribution.this[0].arn
}

# The server says how long an answer may be kept: 15 seconds, and less where a row becomes a day old before.
resource "aws_cloudfront_cache_policy" "this" {
  count       = local.cdn ? 1 : 0
  name        = var.name
  min_ttl     = 0
  default_ttl = 0
  max_ttl     = 60

  parameters_in_cache_key_and_forwarded_to_origin {
    enable_accept_encoding_gzip = true

    cookies_config {
      cookie_behavior = "none"
    }

    query_strings_config {
      query_string_behavior = "all"
    }

    headers_config {
      header_behavior = "whitelist"

      headers {
        items = ["Accept", "Authorization", "X-Api-Key"]
      }
    }
  }
}

# All that a client sends but the name of the host, which has to be the origin's own.
data "aws_cloudfront_origin_request_policy" "all_but_host" {
  count = local.cdn ? 1 : 0
  name  = "Managed-AllViewerExceptHostHeader"
}

data "aws_cloudfront_response_headers_policy" "security" {
  count = local.cdn ? 1 : 0
  name  = "Managed-SecurityHeadersPolicy"
}

resource "aws_cloudfront_distribution" "this" {
  #checkov:skip=CKV_AWS_86:Logs of addresses are not wanted; the gateway's and the server's are enough
  #checkov:skip=CKV_AWS_174:The certificate is CloudFront's own, which sets no minimum; a domain of one's own needs one
  #checkov:skip=CKV2_AWS_42:A certificate of one's own needs a domain
  #checkov:skip=CKV_AWS_310:There is one origin; if it is away, cached answers are a few seconds old at most
  #checkov:skip=CKV_AWS_374:Whoever wants to know of a flood may be anywhere
  #checkov:skip=CKV_AWS_305:The path / is a page of the server
  #checkov:skip=CKV_AWS_68:waf decides: it costs 7 USD a month
  #checkov:skip=CKV2_AWS_47:The firewall limits rates; no Java runs behind it
  count           = local.cdn ? 1 : 0
  enabled         = true
  comment         = var.name
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = "PriceClass_100"
  web_acl_id      = one(aws_wafv2_web_acl.this[*].arn)

  origin {
    origin_id                = "serve"
    domain_name              = local.origin
    origin_access_control_id = one(aws_cloudfront_origin_access_control.function[*].id)

    dynamic "vpc_origin_config" {
      for_each = aws_cloudfront_vpc_origin.this

      content {
        vpc_origin_id            = vpc_origin_config.value.id
        origin_read_timeout      = 60
        origin_keepalive_timeout = 60
      }
    }

    dynamic "custom_origin_config" {
      for_each = local.direct ? [] : [1]

      content {
        http_port              = 80
        https_port             = 443
        origin_protocol_policy = "https-only"
        origin_ssl_protocols   = ["TLSv1.2"]
        origin_read_timeout    = 60
      }
    }
  }

  default_cache_behavior {
    target_origin_id           = "serve"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    cached_methods             = ["GET", "HEAD"]
    compress                   = true
    cache_policy_id            = aws_cloudfront_cache_policy.this[0].id
    origin_request_policy_id   = data.aws_cloudfront_origin_request_policy.all_but_host[0].id
    response_headers_policy_id = data.aws_cloudfront_response_headers_policy.security[0].id
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = true
  }
}

resource "aws_wafv2_web_acl" "this" {
  #checkov:skip=CKV_AWS_192:No Java runs behind it
  #checkov:skip=CKV2_AWS_31:Its metrics are enough: logs would keep addresses
  count       = local.cdn && var.waf > 0 ? 1 : 0
  provider    = aws.us_east_1
  name        = var.name
  description = "Limits what one address may ask"
  scope       = "CLOUDFRONT"

  default_action {
    allow {}
  }

  rule {
    name     = "rate"
    priority = 1

    action {
      block {}
    }

    statement {
      rate_based_statement {
        limit              = var.waf
        aggregate_key_type = "IP"
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "rate"
      sampled_requests_enabled   = false
    }
  }

  rule {
    name     = "reputation"
    priority = 2

    override_action {
      none {}
    }

    statement {
      managed_rule_group_statement {
        name        = "AWSManagedRulesAmazonIpReputationList"
        vendor_name = "AWS"
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "reputation"
      sampled_requests_enabled   = false
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = false
  }
}

output "url" {
  description = "Where readers ask"
  value       = local.cdn ? "https://${aws_cloudfront_distribution.this[0].domain_name}" : aws_apigatewayv2_api.this[0].api_endpoint
}

output "gateway" {
  description = "Id of the gateway; null without one"
  value       = one(aws_apigatewayv2_api.this[*].id)
}

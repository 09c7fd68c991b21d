output "functions" {
  description = "Names of the functions, by what they do"
  value       = { for name, function in aws_lambda_function.this : name => function.function_name }
}

output "url" {
  value = aws_lambda_function_url.api.function_url
}

output "api" {
  description = "The function that answers"
  value = {
    name       = aws_lambda_function.this["api"].function_name
    invoke_arn = aws_lambda_function.this["api"].invoke_arn
    url_host   = "${aws_lambda_function_url.api.url_id}.lambda-url.${data.aws_region.here.name}.on.aws"
  }
}

output "handlers" {
  description = "What each function calls"
  value       = { for name, function in aws_lambda_function.this : name => one(function.image_config[0].command) }
}

output "timetable" {
  description = "When each function is called, UTC"
  value       = { for name, schedule in aws_scheduler_schedule.this : name => schedule.schedule_expression }
}

output "environments" {
  description = "Settings of each function"
  value       = { for name, function in aws_lambda_function.this : name => function.environment[0].variables }
}

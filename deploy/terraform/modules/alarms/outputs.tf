output "topic" {
  description = "Topic of all alarms, for more than mail"
  value       = aws_sns_topic.people.arn
}

output "names" {
  value = [for each in aws_cloudwatch_metric_alarm.this : each.alarm_name]
}

output "missing" {
  description = "What each alarm makes of silence"
  value       = { for name, each in aws_cloudwatch_metric_alarm.this : name => each.treat_missing_data }
}

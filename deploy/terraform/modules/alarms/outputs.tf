output "topic" {
  description = "Topic of all alarms, for more than mail"
  value       = aws_sns_topic.people.arn
}

output "names" {
  value = concat(
    [for each in aws_cloudwatch_metric_alarm.steady : each.alarm_name],
    [for each in aws_cloudwatch_metric_alarm.rare : each.alarm_name],
  )
}

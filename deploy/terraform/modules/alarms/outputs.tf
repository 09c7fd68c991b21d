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

output "missing" {
  description = "What each alarm makes of silence"
  value = {
    for name, each in merge(aws_cloudwatch_metric_alarm.steady, aws_cloudwatch_metric_alarm.rare) : name => each.treat_missing_data
  }
}

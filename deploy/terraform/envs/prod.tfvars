# Who is told stands in ALARM_EMAILS, so that no address is in the repository: see docs/deploying.md.
environment = "prod"
compute     = "ecs"
database    = { protected = true, keep_days = 7, replica = true }
sinks       = ["kinesis", "sqs", "sns", "eventbridge", "dynamodb"]
push        = { queue = true }
edge        = "gateway"
serve_tasks = 1
budget_usd  = 130
log_days    = 30

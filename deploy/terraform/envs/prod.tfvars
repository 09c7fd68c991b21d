# What people rely on. Name in alarm_emails who is told.
environment  = "prod"
compute      = "ecs"
database     = { protected = true, keep_days = 7, replica = true }
sinks        = ["kinesis", "sqs", "sns", "eventbridge", "dynamodb"]
push         = { queue = true }
edge         = "gateway"
serve_tasks  = 1
alarm_emails = []
budget_usd   = 130
log_days     = 30

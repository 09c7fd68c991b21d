# The same parts as prod, smaller: what is rolled out there is rolled out here before.
environment  = "staging"
compute      = "ecs"
database     = { keep_days = 1 }
sinks        = ["kinesis", "sqs", "sns", "eventbridge", "dynamodb"]
push         = { queue = true }
edge         = "gateway"
serve_tasks  = 1
alarm_emails = []
budget_usd   = 120

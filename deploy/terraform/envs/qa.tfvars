# As dev, with everything that can be published to, for tests of what is behind it.
environment   = "qa"
compute       = "ecs"
off_at_night  = true
force_destroy = true
sinks         = ["sqs", "sns", "eventbridge", "dynamodb"]
push          = { queue = true }
edge          = "gateway"
alarms        = false
log_days      = 3

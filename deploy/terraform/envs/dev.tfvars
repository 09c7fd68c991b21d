# Small, off at night, and gone with one command.
environment   = "dev"
compute       = "ecs"
off_at_night  = true
force_destroy = true
alarms        = false
log_days      = 3

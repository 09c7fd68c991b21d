# All of an environment. What each part is for is in docs/deploying.md.

data "aws_caller_identity" "me" {}

locals {
  name    = "${var.project}-${var.environment}"
  account = data.aws_caller_identity.me.account_id
  tags    = { project = var.project, environment = local.name, managed-by = "terraform" }

  networked = var.compute != "lambda"
  edged     = var.edge != "none"
  # Cloud Map tells the gateway where serve is.
  mapped    = local.networked && (var.edge == "gateway" || (var.edge == "cdn" && var.compute == "ecs"))
  publishes = length(var.sinks) + length(var.webhooks) > 0

  settings = merge(
    { FLOOD_LAKE_URL = module.lake.url, FLOOD_EMF = local.name },
    local.publishes ? { FLOOD_PUBLISH = join(" ", concat(module.streams.urls, var.webhooks)) } : {},
    # Dagster's sensor reads it; with lambda the queue calls a function.
    var.push.queue && local.networked ? { FLOOD_LANDING_QUEUE = module.streams.landing_queue.url } : {},
    var.archive == null ? {} : { FLOOD_ARCHIVE = "archive" },
    # The gateway tells who asks, and CloudFront's firewall counts addresses before it.
    local.mapped ? { FLOOD_TRUSTED_PROXIES = var.cidr } : {},
    var.edge == "cdn" ? { FLOOD_RATE = "0" } : {},
    var.settings,
  )

  # What Dagster does, in one role: it refreshes, expires, publishes and ingests.
  dagster = merge(
    { lake = module.lake.policies.write, logs = module.lake.policies.logs },
    { for name, policy in module.streams.policies : name => policy if name != "landing-stream" },
  )
}

module "network" {
  source = "./modules/network"
  count  = local.networked ? 1 : 0
  name   = local.name
  cidr   = var.cidr
  zones  = var.zones
}

module "lake" {
  source        = "./modules/lake"
  name          = local.name
  account       = local.account
  force_destroy = var.force_destroy
  archive       = var.archive
}

module "catalog" {
  source        = "./modules/catalog"
  name          = local.name
  bucket        = module.lake.bucket
  scratch       = module.lake.scratch
  workgroup     = var.athena
  scan_limit_mb = 1000
  shards        = var.lake_shards
  leading       = var.lake_shards_leading
}

module "streams" {
  source     = "./modules/streams"
  name       = local.name
  sinks      = var.sinks
  push       = var.push
  shards     = var.shards
  recovery   = false
  bucket     = module.lake.bucket
  bucket_arn = module.lake.bucket_arn
  account    = local.account
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  count       = local.mapped ? 1 : 0
  name        = "${local.name}.internal"
  description = "Where serve is, for the gateway"
  vpc         = module.network[0].vpc_id
}

resource "aws_service_discovery_service" "serve" {
  count         = local.mapped ? 1 : 0
  name          = "serve"
  force_destroy = true

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this[0].id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "SRV"
      ttl  = 10
    }
  }

  # ECS says which of its tasks are healthy; a machine is taken to be.
  dynamic "health_check_custom_config" {
    for_each = var.compute == "ecs" ? [1] : []

    content {
      failure_threshold = 1
    }
  }
}

module "ecs" {
  source       = "./modules/ecs"
  count        = var.compute == "ecs" ? 1 : 0
  name         = local.name
  image        = var.image
  environment  = local.settings
  policies     = local.dagster
  serve_policy = module.lake.policies.serve
  network      = module.network[0]
  size         = var.task
  scratch      = module.lake.scratch
  serve_tasks  = var.serve_tasks
  run_tasks    = var.run_tasks
  database     = var.database
  service_arn  = one(aws_service_discovery_service.serve[*].arn)
  off_at_night = var.off_at_night
  log_days     = var.log_days
}

module "ec2" {
  source        = "./modules/ec2"
  count         = var.compute == "ec2" ? 1 : 0
  name          = local.name
  image         = var.image
  environment   = local.settings
  policies      = local.dagster
  network       = module.network[0]
  instance_type = var.instance_type
  disk_gb       = 12
  service_id    = one(aws_service_discovery_service.serve[*].id)
  registered    = local.mapped
  off_at_night  = var.off_at_night
  log_days      = var.log_days
}

module "lambda" {
  source          = "./modules/lambda"
  count           = var.compute == "lambda" ? 1 : 0
  name            = local.name
  image           = var.image
  environment     = local.settings
  lake_policies   = module.lake.policies
  stream_policies = module.streams.policies
  publishes       = local.publishes
  sinks           = length(var.sinks) > 0
  landing_queue   = try(module.streams.landing_queue.arn, null)
  landing_stream  = module.streams.landing_stream
  push            = var.push
  memory          = var.task.memory
  answers         = 10
  log_days        = var.log_days
}

module "edge" {
  source      = "./modules/edge"
  count       = local.edged ? 1 : 0
  name        = local.name
  kind        = var.edge
  compute     = var.compute
  network     = one(module.network)
  service_arn = one(aws_service_discovery_service.serve[*].arn)
  function    = one(module.lambda[*].api)
  instance    = one(module.ec2[*].instance)
  throttle    = var.throttle
  waf         = var.waf
  log_days    = var.log_days
  providers   = { aws = aws, aws.us_east_1 = aws.us_east_1 }
}

module "alarms" {
  source       = "./modules/alarms"
  count        = var.alarms ? 1 : 0
  name         = local.name
  account      = local.account
  emails       = var.alarm_emails
  budget_usd   = var.budget_usd
  publishes    = local.publishes
  compute      = var.compute
  dead_letters = module.streams.dead_letters
  has          = { gateway = local.edged && (var.edge == "gateway" || var.compute == "ecs"), landing = var.push.queue }
  watched = {
    cluster  = one(module.ecs[*].cluster)
    database = one(module.ecs[*].database)
    instance = one(module.ec2[*].instance.id)
    function = one(module.lambda[*].functions.refresh)
    gateway  = one(module.edge[*].gateway)
    landing  = var.push.queue ? "${local.name}-landing" : null
  }
}

check "somebody_is_told" {
  assert {
    condition     = !var.alarms || length(var.alarm_emails) > 0
    error_message = "Alarms are on, and nobody is told: name addresses in alarm_emails, in envs/${var.environment}.tfvars."
  }
}

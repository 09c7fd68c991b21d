# Plans of every size, with AWS as a mock: nothing is asked and nothing is made. The moto proof applies one.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-2" }
  }
  mock_data "aws_secretsmanager_random_password" {
    defaults = { random_password = "0123456789abcdef0123456789abcdef" }
  }
  mock_data "aws_ssm_parameter" {
    defaults = { value = "ami-0123456789abcdef0" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::a-bucket" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-west-2:123456789012:a-queue", url = "https://sqs.eu-west-2.amazonaws.com/123456789012/a-queue" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-2:123456789012:a-topic" }
  }
  mock_resource "aws_kinesis_stream" {
    defaults = { arn = "arn:aws:kinesis:eu-west-2:123456789012:stream/a-stream" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:eu-west-2:123456789012:table/a-table" }
  }
  mock_resource "aws_cloudwatch_event_bus" {
    defaults = { arn = "arn:aws:events:eu-west-2:123456789012:event-bus/a-bus" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-2:123456789012:log-group:a-group" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/a-role" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:a-secret" }
  }
  mock_resource "aws_secretsmanager_secret_version" {
    defaults = { secret_string = "{\"password\": \"0123456789abcdef0123456789abcdef\"}" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-west-2:123456789012:cluster/a-cluster" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-2:123456789012:task-definition/a-task:1" }
  }
  mock_resource "aws_db_instance" {
    defaults = { arn = "arn:aws:rds:eu-west-2:123456789012:db:a-database", address = "a-database.example.org" }
  }
  mock_resource "aws_instance" {
    defaults = { arn = "arn:aws:ec2:eu-west-2:123456789012:instance/i-0123456789abcdef0" }
  }
  mock_resource "aws_lambda_function" {
    defaults = {
      arn        = "arn:aws:lambda:eu-west-2:123456789012:function:a-function"
      invoke_arn = "arn:aws:apigateway:eu-west-2:lambda:path/2015-03-31/functions/a-function/invocations"
    }
  }
  mock_resource "aws_service_discovery_service" {
    defaults = { arn = "arn:aws:servicediscovery:eu-west-2:123456789012:service/srv-0123456789abcdef" }
  }
  mock_resource "aws_apigatewayv2_api" {
    defaults = {
      execution_arn = "arn:aws:execute-api:eu-west-2:123456789012:an-api"
      api_endpoint  = "https://an-api.execute-api.eu-west-2.amazonaws.com"
    }
  }
  mock_resource "aws_cloudfront_distribution" {
    defaults = { arn = "arn:aws:cloudfront::123456789012:distribution/E123", domain_name = "d123.cloudfront.net" }
  }
}

mock_provider "aws" {
  alias           = "us_east_1"
  override_during = plan

  mock_resource "aws_wafv2_web_acl" {
    defaults = { arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/flood/0123" }
  }
}

variables {
  environment  = "prod"
  image        = "123456789012.dkr.ecr.eu-west-2.amazonaws.com/flood-assets:1.0.0"
  alarm_emails = ["somebody@example.org"]
}

run "ecs" {
  command = plan

  variables {
    database    = { protected = true, replica = true }
    sinks       = ["kinesis", "sqs", "sns", "eventbridge", "dynamodb"]
    push        = { queue = true }
    edge        = "gateway"
    serve_tasks = 1
    run_tasks   = true
    archive     = {}
    budget_usd  = 100
  }

  assert {
    condition     = module.ecs[0].rolling == { minimum = 0, maximum = 100, stop_timeout = 120 }
    error_message = "Two daemons must never run at once, and a run may end."
  }
  assert {
    condition     = module.ecs[0].read_only == toset(["prepare", "code", "daemon"])
    error_message = "Only the webserver's file system is written, by the port forward."
  }
  assert {
    condition     = module.ecs[0].rolling_serve == { minimum = 100, maximum = 200 }
    error_message = "A new server answers before the old one goes."
  }
  assert {
    condition     = module.lake.expires == { readings = 7, completeness = 1, timeliness = 1, rejects = 1 }
    error_message = "Stations, measures, watermarks and _lake.json are never deleted by age; what holds readings is, after a week where an archive may be away."
  }
  assert {
    condition     = alltrue([for name, how in module.alarms[0].missing : how == "breaching" || startswith(name, "dead-") || contains(["errors", "landing", "answers"], name)])
    error_message = "Silence is an alarm, but where AWS tells nothing as long as all is well."
  }
  assert {
    condition     = length(module.alarms[0].missing) == 10
    error_message = "refresh, fresh, sinks, task, database, errors, two queues of dead letters, landing, answers."
  }
  assert {
    condition     = module.lake.freezes[0] > module.lake.expires.readings
    error_message = "While readings may still come to a day of the archive, its file can be read."
  }
  assert {
    condition     = local.settings.FLOOD_LANDING_QUEUE == "sqs://flood-prod-landing"
    error_message = "As flood_assets.settings.landing_queue takes it."
  }
}

run "ec2" {
  command = plan

  variables {
    compute      = "ec2"
    edge         = "cdn"
    waf          = 2000
    off_at_night = true
    sinks        = ["kinesis"]
    lake_shards  = ["level", "rainfall"]
  }

  assert {
    condition     = length(module.ecs) + length(module.lambda) == 0
    error_message = "One size at a time."
  }
  assert {
    condition = toset([for each in yamldecode(module.ec2[0].user_data).write_files : basename(each.path)]) == toset([
      "flood.env", "dagster.yaml", "workspace.yaml", "flood-prepare.service", "flood-code.service", "flood-daemon.service",
      "flood-webserver.service", "flood-serve.service",
    ])
    error_message = "The machine is given its settings and a unit for each process."
  }
  assert {
    condition     = yamldecode(yamldecode(module.ec2[0].user_data).write_files[1].content).run_monitoring.enabled
    error_message = "Dagster's settings are whole."
  }
  assert {
    condition     = output.url == "https://d123.cloudfront.net"
    error_message = "Readers ask CloudFront."
  }
}

run "lambda" {
  command = plan

  variables {
    compute = "lambda"
    edge    = "gateway"
    push    = { queue = true, stream = true }
    sinks   = ["dynamodb"]
  }

  assert {
    condition = module.lambda[0].handlers == {
      refresh = "flood_assets.functions.refresh", reconcile = "flood_assets.functions.reconcile",
      expire  = "flood_assets.functions.expire", publish = "flood_assets.functions.publish",
      landing = "flood_assets.functions.landing", api = "flood_assets.functions.api",
    }
    error_message = "One function for each handler."
  }
  assert {
    condition     = module.lambda[0].timetable.refresh == "cron(0/15 * * * ? *)" && module.lambda[0].timetable.reconcile == "cron(7 1,7,13,19 * * ? *)"
    error_message = "The times of Dagster's schedules, in flood_assets/defs/schedules.py."
  }
  assert {
    condition     = length(module.network) == 0
    error_message = "Functions need no network of ours."
  }
  assert {
    condition     = { for name, how in module.alarms[0].missing : name => how if contains(["refresh", "fresh", "sinks"], name) } == { refresh = "breaching", fresh = "breaching", sinks = "breaching" }
    error_message = "Functions tell CloudWatch what Dagster's runs tell it."
  }
  assert {
    condition     = [for name, variables in module.lambda[0].environments : name if contains(keys(variables), "FLOOD_PUBLISH")] == ["publish"]
    error_message = "Only one function may publish."
  }
  assert {
    condition     = alltrue([for variables in module.lambda[0].environments : variables.ARROW_DEFAULT_MEMORY_POOL == "system" && variables.FLOOD_EMF == "flood-prod"])
    error_message = "Arrow reads its setting when it is loaded; each function says of which environment it tells."
  }
  assert {
    condition     = !contains(keys(local.settings), "FLOOD_LANDING_QUEUE")
    error_message = "The queue calls a function, which is told what lands."
  }
}

run "unknown_words_are_refused" {
  command = plan

  variables {
    environment = "production"
    compute     = "eks"
    edge        = "nginx"
    sinks       = ["kafka"]
  }

  expect_failures = [var.environment, var.compute, var.edge, var.sinks]
}

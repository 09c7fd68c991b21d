# Dagster's settings, and the containers that share them. dagster_home/dagster.yaml is what `make ui` uses too.

locals {
  home = "/dagster"
  base = yamldecode(file("${path.module}/../../../../dagster_home/dagster.yaml"))

  dagster_yaml = yamlencode(merge(
    local.base,
    {
      storage = {
        postgres = {
          postgres_db = {
            hostname = { env = "DAGSTER_PG_HOST" }
            username = { env = "DAGSTER_PG_USER" }
            password = { env = "DAGSTER_PG_PASSWORD" }
            db_name  = "dagster"
            port     = 5432
            params   = { sslmode = "require" }
          }
        }
      }
      compute_logs = {
        module = "dagster_aws.s3.compute_log_manager"
        class  = "S3ComputeLogManager"
        config = { bucket = var.scratch, prefix = "logs", local_dir = "/tmp/logs" }
      }
      local_artifact_storage = {
        module = "dagster._core.storage.root"
        class  = "LocalArtifactStorage"
        config = { base_dir = local.home }
      }
    },
    var.run_tasks ? { run_launcher = local.run_launcher } : {},
  ))

  run_launcher = yamldecode(templatefile("${path.module}/run_launcher.yaml.tftpl", {
    cluster = var.name
    task    = "${var.name}-run"
    subnets = var.network.public_subnets
    group   = var.network.app_group
  }))

  workspace_yaml = yamlencode({
    load_from = [{ grpc_server = { host = "127.0.0.1", port = 4000, location_name = "flood_assets" } }]
  })

  # The first container of a task: settings into the volume, which belongs to root at first; then the lake is opened, so
  # that a version that does not know its layout never starts.
  prepare = <<-PY
    import os, pathlib
    home = pathlib.Path(os.environ.pop("DAGSTER_HOME"))
    for folder in (home, pathlib.Path("/tmp")):
        folder.chmod(0o1777)
    for name in ("dagster.yaml", "workspace.yaml"):
        (home / name).write_text(os.environ.pop(name.upper().replace(".", "_")))
    os.execvp("flood-assets", ["flood-assets", "expire", "--dry-run"])
  PY

  environment = [
    for name, value in merge(var.environment, {
      AWS_DEFAULT_REGION = data.aws_region.here.name
      DAGSTER_HOME       = local.home
      DAGSTER_PG_HOST    = aws_db_instance.dagster.address
      DAGSTER_PG_USER    = aws_db_instance.dagster.username
    }) : { name = name, value = value }
  ]
  secrets = [{ name = "DAGSTER_PG_PASSWORD", valueFrom = "${aws_secretsmanager_secret.database.arn}:password::" }]

  container = {
    image                  = var.image
    essential              = true
    readonlyRootFilesystem = true
    environment            = local.environment
    secrets                = local.secrets
    # A run that the old version has begun may end: the longest that Fargate waits.
    stopTimeout = 120
    mountPoints = [
      { sourceVolume = "dagster", containerPath = local.home },
      { sourceVolume = "tmp", containerPath = "/tmp" },
    ]
    linuxParameters = { initProcessEnabled = true }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.here.name
        awslogs-stream-prefix = "flood"
      }
    }
  }

  prepared = [{ containerName = "prepare", condition = "SUCCESS" }]
  serves = {
    name       = "serve"
    entryPoint = ["flood-assets"]
    command    = ["serve", "--host", "0.0.0.0", "--port", "8000"]
    portMappings = [
      { containerPort = 8000, protocol = "tcp" },
    ]
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 60
    }
    environment = [for each in local.environment : each if !startswith(each.name, "DAGSTER_")]
    secrets     = []
  }

  # Without depends_on on the code server, ECS would stop it first, and the daemon would see a location that is gone.
  after_code = concat(local.prepared, [{ containerName = "code", condition = "HEALTHY" }])

  dagster = [
    merge(local.container, {
      name       = "prepare"
      essential  = false
      user       = "0"
      entryPoint = ["python", "-c", local.prepare]
      environment = concat(local.environment, [
        { name = "DAGSTER_YAML", value = local.dagster_yaml },
        { name = "WORKSPACE_YAML", value = local.workspace_yaml },
      ])
      secrets = []
    }),
    merge(local.container, {
      name       = "code"
      entryPoint = ["dagster"]
      # Not `code-server start`: half a minute after SIGTERM that one gives up the run that it waits for.
      command   = ["api", "grpc", "--host", "127.0.0.1", "--port", "4000", "--module-name", "flood_assets.definitions"]
      dependsOn = local.prepared
      healthCheck = {
        command     = ["CMD", "python", "-c", "import socket; socket.create_connection(('127.0.0.1', 4000), 4)"]
        interval    = 10
        timeout     = 5
        retries     = 6
        startPeriod = 120
      }
    }),
    merge(local.container, {
      name       = "daemon"
      entryPoint = ["dagster-daemon"]
      command    = ["run", "-w", "${local.home}/workspace.yaml"]
      dependsOn  = local.after_code
    }),
    merge(local.container, {
      name       = "webserver"
      entryPoint = ["dagster-webserver"]
      command    = ["--host", "127.0.0.1", "--port", "3000", "-w", "${local.home}/workspace.yaml"]
      dependsOn  = local.after_code
      # The agent of the port forward writes into the container's own file system.
      readonlyRootFilesystem = false
    }),
  ]
}

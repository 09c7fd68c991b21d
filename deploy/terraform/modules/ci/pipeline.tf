# For those who deploy from AWS: the image is built from each commit, then staging, an approval, and prod.

locals {
  piped = var.pipeline[*]
  # In this order.
  stages = [for name in ["staging", "prod"] : name if contains(var.environments, name) && length(local.piped) > 0]

  builds = length(local.piped) == 0 ? {} : merge(
    {
      image = {
        spec = {
          version = "0.2"
          env     = { exported-variables = ["IMAGE"] }
          phases = {
            build = {
              commands = [
                "IMAGE=${aws_ecr_repository.this.repository_url}:$(echo $CODEBUILD_RESOLVED_SOURCE_VERSION | cut -c1-12)",
                "aws ecr get-login-password | docker login --username AWS --password-stdin ${split("/", aws_ecr_repository.this.repository_url)[0]}",
                "docker build --tag $IMAGE --file deploy/docker/Dockerfile .",
                "docker push $IMAGE",
              ]
            }
          }
        }
      }
    },
    {
      for name in local.stages : name => {
        spec = {
          version = "0.2"
          phases = {
            build = {
              commands = [
                "cd deploy/terraform",
                "terraform init -input=false -backend-config=bucket=${var.state_bucket} -backend-config=key=${var.project}/${name}.tfstate -backend-config=region=${var.region} -backend-config=use_lockfile=true",
                "terraform plan -input=false -var-file=envs/${name}.tfvars -var image=$IMAGE -out=the.tfplan",
                "terraform apply -input=false the.tfplan",
              ]
            }
          }
        }
      }
    },
  )
}

resource "aws_s3_bucket" "pipeline" {
  #checkov:skip=CKV_AWS_18:It holds public source for a week
  #checkov:skip=CKV_AWS_21:It holds public source for a week
  #checkov:skip=CKV_AWS_144:It holds public source for a week
  #checkov:skip=CKV_AWS_145:It holds public source for a week
  #checkov:skip=CKV2_AWS_62:It holds public source for a week
  count         = length(local.piped)
  bucket        = "${var.project}-pipeline-${var.account}"
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "pipeline" {
  count                   = length(local.piped)
  bucket                  = aws_s3_bucket.pipeline[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "pipeline" {
  count  = length(local.piped)
  bucket = aws_s3_bucket.pipeline[0].id

  rule {
    id     = "a-week"
    status = "Enabled"
    filter {}

    expiration {
      days = 7
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

locals {
  artifacts = [
    for bucket in aws_s3_bucket.pipeline : {
      Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = "${bucket.arn}/*"
    }
  ]
}

resource "aws_cloudwatch_log_group" "builds" {
  #checkov:skip=CKV_AWS_158:Encrypted by AWS's own key; no log holds a secret
  #checkov:skip=CKV_AWS_338:Logs of builds are of use for weeks
  count             = length(local.piped)
  name              = "/${var.project}/builds"
  retention_in_days = 30
}

resource "aws_iam_role" "build" {
  for_each = local.builds
  name     = "${var.project}-build-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "codebuild.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_iam_role_policy" "build" {
  for_each = local.builds
  name     = each.key
  role     = aws_iam_role.build[each.key].id
  policy   = each.key == "image" ? local.push : local.deploy[each.key]
}

resource "aws_iam_role_policy" "build_logs" {
  for_each = local.builds
  name     = "logs"
  role     = aws_iam_role.build[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.artifacts, [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.builds[0].arn}:*"
    }])
  })
}

resource "aws_codebuild_project" "this" {
  #checkov:skip=CKV_AWS_316:An image is built by Docker, which needs it; the others do not have it
  #checkov:skip=CKV_AWS_147:Encrypted by AWS's own key; the source is public
  for_each     = local.builds
  name         = "${var.project}-${each.key}"
  service_role = aws_iam_role.build[each.key].arn

  artifacts {
    type = "CODEPIPELINE"
  }

  source {
    type      = "CODEPIPELINE"
    buildspec = yamlencode(each.value.spec)
  }

  environment {
    type            = "ARM_CONTAINER"
    compute_type    = "BUILD_GENERAL1_SMALL"
    image           = each.key == "image" ? "aws/codebuild/amazonlinux2-aarch64-standard:3.0" : var.pipeline.terraform_image
    privileged_mode = each.key == "image"
  }

  logs_config {
    cloudwatch_logs {
      group_name = aws_cloudwatch_log_group.builds[0].name
    }
  }
}

resource "aws_iam_role" "pipeline" {
  count = length(local.piped)
  name  = "${var.project}-pipeline"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "codepipeline.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_iam_role_policy" "pipeline" {
  count = length(local.piped)
  name  = "pipeline"
  role  = aws_iam_role.pipeline[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.artifacts, [
      { Effect = "Allow", Action = ["codestar-connections:UseConnection"], Resource = var.pipeline.connection_arn },
      {
        Effect   = "Allow"
        Action   = ["codebuild:StartBuild", "codebuild:BatchGetBuilds"]
        Resource = [for each in aws_codebuild_project.this : each.arn]
      },
    ])
  })
}

resource "aws_codepipeline" "this" {
  #checkov:skip=CKV_AWS_219:Encrypted by AWS's own key; the source is public
  count          = length(local.piped)
  name           = var.project
  role_arn       = aws_iam_role.pipeline[0].arn
  pipeline_type  = "V2"
  execution_mode = "QUEUED"

  artifact_store {
    type     = "S3"
    location = aws_s3_bucket.pipeline[0].bucket
  }

  stage {
    name = "Source"

    action {
      name             = "Source"
      category         = "Source"
      owner            = "AWS"
      provider         = "CodeStarSourceConnection"
      version          = "1"
      output_artifacts = ["source"]

      configuration = {
        ConnectionArn    = var.pipeline.connection_arn
        FullRepositoryId = var.pipeline.repository
        BranchName       = var.pipeline.branch
      }
    }
  }

  stage {
    name = "Image"

    action {
      name            = "Image"
      category        = "Build"
      owner           = "AWS"
      provider        = "CodeBuild"
      version         = "1"
      namespace       = "image"
      input_artifacts = ["source"]
      configuration   = { ProjectName = aws_codebuild_project.this["image"].name }
    }
  }

  dynamic "stage" {
    for_each = local.stages

    content {
      name = title(stage.value)

      dynamic "action" {
        for_each = stage.value == "prod" ? [1] : []

        content {
          name      = "Approve"
          category  = "Approval"
          owner     = "AWS"
          provider  = "Manual"
          version   = "1"
          run_order = 1
        }
      }

      action {
        name            = "Deploy"
        category        = "Build"
        owner           = "AWS"
        provider        = "CodeBuild"
        version         = "1"
        run_order       = 2
        input_artifacts = ["source"]

        configuration = {
          ProjectName          = aws_codebuild_project.this[stage.value].name
          EnvironmentVariables = jsonencode([{ name = "IMAGE", value = "#{image.IMAGE}", type = "PLAINTEXT" }])
        }
      }
    }
  }
}

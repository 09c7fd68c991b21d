# What is there once in an account: the registry of images, and who may deploy.

resource "aws_ecr_repository" "this" {
  #checkov:skip=CKV_AWS_136:Encrypted by AWS's own key; the image is built from public source
  name                 = "${var.project}-assets"
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Keep the last ten"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 10 }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_iam_openid_connect_provider" "github" {
  count          = var.github != "" && var.github_provider ? 1 : 0
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  github = var.github == "" ? [] : [
    "arn:aws:iam::${var.account}:oidc-provider/token.actions.githubusercontent.com",
  ]

  # GitHub asks for a role per environment, whose approval is a rule of that environment. The image is pushed from main.
  subjects = merge(
    { image = "repo:${var.github}:ref:refs/heads/main" },
    { for name in var.environments : name => "repo:${var.github}:environment:${name}" },
  )
  roles = merge(
    var.github == "" ? {} : local.subjects,
  )
}

resource "aws_iam_role" "github" {
  for_each             = local.roles
  name                 = "${var.project}-github-${each.key}"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.github }
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = each.value
        }
      }
    }]
  })

  depends_on = [aws_iam_openid_connect_provider.github]
}

resource "aws_iam_role_policy" "image" {
  count  = var.github == "" ? 0 : 1
  name   = "push"
  role   = aws_iam_role.github["image"].id
  policy = local.push
}

resource "aws_iam_role_policy" "deploy" {
  for_each = var.github == "" ? [] : var.environments
  name     = "deploy"
  role     = aws_iam_role.github[each.key].id
  policy   = local.deploy[each.key]
}

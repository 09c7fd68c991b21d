# What a deployment may do: names that begin with the environment's, where AWS's actions know names.

locals {
  push = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # It knows no resource.
      { Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = "*" },
      {
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
          "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
        ]
        Resource = aws_ecr_repository.this.arn
      },
    ]
  })

  here = "${var.region}:${var.account}"

  deploy = {
    for env in var.environments : env => jsonencode({
      Version = "2012-10-17"
      Statement = concat(
        [
          {
            Sid      = "State"
            Effect   = "Allow"
            Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
            Resource = "arn:aws:s3:::${var.state_bucket}/${var.project}/${env}.tfstate*"
          },
          { Sid = "States", Effect = "Allow", Action = ["s3:ListBucket"], Resource = "arn:aws:s3:::${var.state_bucket}" },
          {
            Sid    = "Roles"
            Effect = "Allow"
            Action = local.role_actions
            Resource = [
              "arn:aws:iam::${var.account}:role/${var.project}-${env}-*",
              "arn:aws:iam::${var.account}:instance-profile/${var.project}-${env}-*",
            ]
          },
          {
            Sid       = "PassRoles"
            Effect    = "Allow"
            Action    = ["iam:PassRole"]
            Resource  = "arn:aws:iam::${var.account}:role/${var.project}-${env}-*"
            Condition = { StringEquals = { "iam:PassedToService" = local.passed } }
          },
          {
            Sid    = "Named"
            Effect = "Allow"
            Action = local.named_actions
            Resource = [
              for resource in local.named : replace(replace(resource, "NAME", "${var.project}-${env}"), "BASE", replace("${var.project}-${env}", "-", "_"))
            ]
          },
          # What has no name that is known before it is made, or lists: by region at least.
          {
            Sid       = "Unnamed"
            Effect    = "Allow"
            Action    = local.unnamed_actions
            Resource  = "*"
            Condition = { StringEquals = { "aws:RequestedRegion" = [var.region, "us-east-1"] } }
          },
        ],
      )
    })
  }

  passed = [
    "ecs-tasks.amazonaws.com", "ec2.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com",
  ]

  role_actions = [
    "iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:CreateRole", "iam:DeleteInstanceProfile",
    "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetInstanceProfile", "iam:GetRole", "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies", "iam:PutRolePolicy",
    "iam:RemoveRoleFromInstanceProfile", "iam:TagRole", "iam:UpdateAssumeRolePolicy",
  ]

  named = [
    "arn:aws:s3:::NAME-*",
    "arn:aws:sqs:${local.here}:NAME-*",
    "arn:aws:sns:${local.here}:NAME-*",
    "arn:aws:kinesis:${local.here}:stream/NAME-*",
    "arn:aws:dynamodb:${local.here}:table/NAME-*",
    "arn:aws:events:${local.here}:event-bus/NAME",
    "arn:aws:glue:${local.here}:catalog",
    "arn:aws:glue:${local.here}:database/BASE",
    "arn:aws:glue:${local.here}:table/BASE/*",
    "arn:aws:athena:${local.here}:workgroup/NAME",
    "arn:aws:ecs:${local.here}:cluster/NAME",
    "arn:aws:ecs:${local.here}:service/NAME/*",
    "arn:aws:ecs:${local.here}:task-definition/NAME-*:*",
    "arn:aws:rds:${local.here}:db:NAME*",
    "arn:aws:rds:${local.here}:pg:NAME-*",
    "arn:aws:rds:${local.here}:subgrp:NAME",
    "arn:aws:secretsmanager:${local.here}:secret:NAME-*",
    "arn:aws:logs:${local.here}:log-group:/NAME*",
    "arn:aws:logs:${local.here}:log-group:/aws/lambda/NAME-*",
    "arn:aws:cloudwatch:${local.here}:alarm:NAME-*",
    "arn:aws:budgets::${var.account}:budget/NAME",
    "arn:aws:lambda:${local.here}:function:NAME-*",
    "arn:aws:scheduler:${local.here}:schedule/default/NAME-*",
  ]

  named_actions = [
    "athena:CreateNamedQuery", "athena:CreateWorkGroup", "athena:DeleteNamedQuery", "athena:DeleteWorkGroup",
    "athena:GetNamedQuery", "athena:GetWorkGroup", "athena:TagResource", "athena:UpdateWorkGroup",
    "budgets:ModifyBudget", "budgets:ViewBudget",
    "cloudwatch:DeleteAlarms", "cloudwatch:ListTagsForResource", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource",
    "dynamodb:CreateTable", "dynamodb:DeleteTable", "dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive", "dynamodb:ListTagsOfResource", "dynamodb:TagResource",
    "dynamodb:UpdateContinuousBackups", "dynamodb:UpdateTable", "dynamodb:UpdateTimeToLive",
    "ecs:CreateCluster", "ecs:CreateService", "ecs:DeleteCluster", "ecs:DeleteService", "ecs:DescribeClusters",
    "ecs:DescribeServices", "ecs:TagResource", "ecs:UpdateService",
    "events:CreateEventBus", "events:DeleteEventBus", "events:DescribeEventBus", "events:ListTagsForResource",
    "events:TagResource",
    "glue:CreateDatabase", "glue:CreateTable", "glue:DeleteDatabase", "glue:DeleteTable", "glue:GetDatabase",
    "glue:GetTable", "glue:GetTables", "glue:GetTags", "glue:TagResource", "glue:UpdateDatabase", "glue:UpdateTable",
    "kinesis:AddTagsToStream", "kinesis:CreateStream", "kinesis:DeleteStream", "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary", "kinesis:ListTagsForStream", "kinesis:StartStreamEncryption",
    "kinesis:UpdateShardCount",
    "lambda:AddPermission", "lambda:CreateFunction", "lambda:CreateFunctionUrlConfig", "lambda:DeleteFunction",
    "lambda:DeleteFunctionConcurrency", "lambda:DeleteFunctionEventInvokeConfig", "lambda:DeleteFunctionUrlConfig",
    "lambda:GetFunction", "lambda:GetFunctionCodeSigningConfig", "lambda:GetFunctionConcurrency",
    "lambda:GetFunctionConfiguration", "lambda:GetFunctionEventInvokeConfig", "lambda:GetFunctionUrlConfig",
    "lambda:GetPolicy", "lambda:ListVersionsByFunction", "lambda:PutFunctionConcurrency",
    "lambda:PutFunctionEventInvokeConfig", "lambda:RemovePermission", "lambda:TagResource",
    "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration",
    "logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:ListTagsForResource", "logs:PutRetentionPolicy",
    "logs:TagResource",
    "rds:AddTagsToResource", "rds:CreateDBInstance", "rds:CreateDBInstanceReadReplica", "rds:CreateDBParameterGroup",
    "rds:CreateDBSubnetGroup", "rds:DeleteDBInstance", "rds:DeleteDBParameterGroup", "rds:DeleteDBSubnetGroup",
    "rds:DescribeDBInstances", "rds:DescribeDBParameterGroups", "rds:DescribeDBParameters",
    "rds:DescribeDBSubnetGroups", "rds:ListTagsForResource", "rds:ModifyDBInstance", "rds:ModifyDBParameterGroup",
    "rds:ModifyDBSubnetGroup",
    "s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:DeleteObject", "s3:GetAccelerateConfiguration",
    "s3:GetBucketAcl", "s3:GetBucketCORS", "s3:GetBucketLogging", "s3:GetBucketNotification",
    "s3:GetBucketObjectLockConfiguration", "s3:GetBucketOwnershipControls", "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock", "s3:GetBucketRequestPayment", "s3:GetBucketTagging", "s3:GetBucketVersioning",
    "s3:GetBucketWebsite", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration", "s3:GetObject",
    "s3:GetObjectTagging", "s3:GetReplicationConfiguration", "s3:ListBucket", "s3:ListBucketVersions",
    "s3:PutBucketNotification", "s3:PutBucketOwnershipControls", "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging", "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration", "s3:PutObject", "s3:PutObjectTagging",
    "scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:GetSchedule", "scheduler:UpdateSchedule",
    "secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret",
    "secretsmanager:GetResourcePolicy", "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue",
    "secretsmanager:TagResource",
    "sns:CreateTopic", "sns:DeleteTopic", "sns:GetTopicAttributes", "sns:ListTagsForResource", "sns:SetTopicAttributes",
    "sns:Subscribe", "sns:TagResource",
    "sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags",
    "sqs:SetQueueAttributes", "sqs:TagQueue",
  ]

  unnamed_actions = [
    "apigateway:DELETE", "apigateway:GET", "apigateway:PATCH", "apigateway:POST", "apigateway:PUT",
    "application-autoscaling:DeleteScheduledAction", "application-autoscaling:DeregisterScalableTarget",
    "application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScheduledActions",
    "application-autoscaling:ListTagsForResource", "application-autoscaling:PutScheduledAction",
    "application-autoscaling:RegisterScalableTarget", "application-autoscaling:TagResource",
    "cloudfront:CreateCachePolicy", "cloudfront:CreateDistribution", "cloudfront:CreateOriginAccessControl",
    "cloudfront:CreateVpcOrigin", "cloudfront:DeleteCachePolicy", "cloudfront:DeleteDistribution",
    "cloudfront:DeleteOriginAccessControl", "cloudfront:DeleteVpcOrigin", "cloudfront:GetCachePolicy",
    "cloudfront:GetDistribution", "cloudfront:GetOriginAccessControl", "cloudfront:GetOriginRequestPolicy",
    "cloudfront:GetResponseHeadersPolicy", "cloudfront:GetVpcOrigin", "cloudfront:ListCachePolicies",
    "cloudfront:ListOriginRequestPolicies", "cloudfront:ListResponseHeadersPolicies",
    "cloudfront:ListTagsForResource", "cloudfront:TagResource", "cloudfront:UpdateCachePolicy",
    "cloudfront:UpdateDistribution",
    "cloudwatch:DescribeAlarms",
    "ec2:AssociateRouteTable", "ec2:AttachInternetGateway", "ec2:AuthorizeSecurityGroupEgress",
    "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateInternetGateway", "ec2:CreateRoute", "ec2:CreateRouteTable",
    "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateTags", "ec2:CreateVpc", "ec2:CreateVpcEndpoint",
    "ec2:DeleteInternetGateway", "ec2:DeleteRoute", "ec2:DeleteRouteTable", "ec2:DeleteSecurityGroup",
    "ec2:DeleteSubnet", "ec2:DeleteVpc", "ec2:DeleteVpcEndpoints", "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstanceAttribute", "ec2:DescribeInstances", "ec2:DescribeInstanceTypes",
    "ec2:DescribeInternetGateways", "ec2:DescribeManagedPrefixLists", "ec2:DescribeNetworkAcls",
    "ec2:DescribeNetworkInterfaces", "ec2:DescribePrefixLists", "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeTags",
    "ec2:DescribeVolumes", "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints", "ec2:DescribeVpcs",
    "ec2:DetachInternetGateway", "ec2:DisassociateRouteTable", "ec2:GetManagedPrefixListEntries",
    "ec2:ModifyVpcAttribute", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress", "ec2:RunInstances",
    "ec2:TerminateInstances",
    "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition", "ecs:RegisterTaskDefinition",
    "lambda:CreateEventSourceMapping", "lambda:DeleteEventSourceMapping", "lambda:GetEventSourceMapping",
    "lambda:ListTags", "lambda:UpdateEventSourceMapping",
    "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "route53:CreateHostedZone", "route53:DeleteHostedZone", "route53:GetHostedZone", "route53:ListHostedZonesByName",
    "secretsmanager:GetRandomPassword",
    "servicediscovery:CreatePrivateDnsNamespace", "servicediscovery:CreateService",
    "servicediscovery:DeleteNamespace", "servicediscovery:DeleteService", "servicediscovery:DeregisterInstance",
    "servicediscovery:DiscoverInstances", "servicediscovery:GetInstance", "servicediscovery:GetNamespace",
    "servicediscovery:GetOperation", "servicediscovery:GetService", "servicediscovery:ListInstances",
    "servicediscovery:ListTagsForResource", "servicediscovery:RegisterInstance", "servicediscovery:TagResource",
    "sns:GetSubscriptionAttributes", "sns:Unsubscribe", "ssm:GetParameter", "sts:GetCallerIdentity",
    "wafv2:CreateWebACL", "wafv2:DeleteWebACL", "wafv2:GetWebACL", "wafv2:ListTagsForResource", "wafv2:TagResource",
    "wafv2:UpdateWebACL",
  ]
}

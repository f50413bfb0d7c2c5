data "aws_region" "current" {}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/walgate/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_cluster" "this" {
  name = var.name
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory_mb
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  volume {
    name = "state"
    efs_volume_configuration {
      file_system_id     = aws_efs_file_system.this.id
      transit_encryption = "ENABLED"
      authorization_config {
        access_point_id = aws_efs_access_point.this.id
        iam             = "ENABLED"
      }
    }
  }

  volume {
    name = "config"
  }

  container_definitions = jsonencode([
    {
      # ECS has no files for configurations: this writes ours, and ends.
      name             = "config"
      image            = "public.ecr.aws/docker/library/busybox:1.37"
      essential        = false
      command          = ["sh", "-c", "printf '%s' \"$WALGATE_TOML\" > /etc/walgate/walgate.toml"]
      environment      = [{ name = "WALGATE_TOML", value = var.config }]
      mountPoints      = [{ sourceVolume = "config", containerPath = "/etc/walgate", readOnly = false }]
      volumesFrom      = []
      logConfiguration = local.log
    },
    {
      name      = "walgate"
      image     = var.image
      essential = true
      command   = ["run", "-c", "/etc/walgate/walgate.toml", "--log-format", "json"]
      dependsOn = [{ containerName = "config", condition = "SUCCESS" }]
      # Longer than shutdown_timeout; Fargate gives 120 s at most.
      stopTimeout            = 60
      user                   = "65532:65532"
      readonlyRootFilesystem = true
      linuxParameters        = { initProcessEnabled = true, capabilities = { add = [], drop = ["ALL"] } }
      environment            = [for name, value in var.environment : { name = name, value = value }]
      secrets                = [{ name = "DATABASE_URL", valueFrom = aws_secretsmanager_secret.database_url.arn }]
      portMappings           = var.http_port == null ? [] : [{ containerPort = var.http_port, hostPort = var.http_port, protocol = "tcp" }]
      mountPoints = [
        { sourceVolume = "config", containerPath = "/etc/walgate", readOnly = true },
        { sourceVolume = "state", containerPath = "/var/lib/walgate", readOnly = false },
      ]
      volumesFrom      = []
      logConfiguration = local.log
    },
  ])
}

locals {
  log = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.this.name
      awslogs-region        = data.aws_region.current.name
      awslogs-stream-prefix = "walgate"
    }
  }
}

resource "aws_ecs_service" "this" {
  name            = var.name
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this.arn
  launch_type     = "FARGATE"
  desired_count   = 1

  # The old task is gone before the new one begins: one slot has one reader. A new one that waited for the
  # slot would never be ready, and the update would never end.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = false
  }

  depends_on = [aws_efs_mount_target.this]
}

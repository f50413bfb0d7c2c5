# These need neither Walgate nor Prometheus: they go off also when both are gone.
locals {
  alarms = {
    slot-lag = {
      metric      = "OldestReplicationSlotLag"
      comparison  = "GreaterThanThreshold"
      threshold   = var.alarm_slot_lag_bytes
      missing     = "notBreaching" # without a slot there is no such metric
      description = "A replication slot holds back log. walgate slots says which one, and why (deploy/runbooks/retained_bytes.md)."
    }
    wal-on-disk = {
      metric      = "TransactionLogsDiskUsage"
      comparison  = "GreaterThanThreshold"
      threshold   = var.alarm_wal_bytes
      missing     = "missing"
      description = "The write-ahead log takes the instance's storage. walgate slots says whether a slot is why (deploy/runbooks/retained_bytes.md)."
    }
    free-storage = {
      metric      = "FreeStorageSpace"
      comparison  = "LessThanThreshold"
      threshold   = var.alarm_free_storage_bytes
      missing     = "breaching" # an instance that reports nothing may have stopped
      description = "The instance stops when its storage is full (deploy/runbooks/headroom.md)."
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "database" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = { DBInstanceIdentifier = var.db_instance_identifier }
  statistic           = each.key == "free-storage" ? "Minimum" : "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

# Nobody reads the slot: no task runs.
resource "aws_cloudwatch_metric_alarm" "task" {
  alarm_name          = "${var.name}-down"
  alarm_description   = "No task of Walgate runs (deploy/runbooks/down.md)."
  namespace           = "AWS/ECS"
  metric_name         = "CPUUtilization"
  dimensions          = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.this.name }
  statistic           = "SampleCount"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

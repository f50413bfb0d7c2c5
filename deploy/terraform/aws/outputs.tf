output "parameter_group_name" {
  description = "Give it to the instance, and reboot that."
  value       = aws_db_parameter_group.this.name
}

output "secret_id" {
  description = "Where source.url goes: aws secretsmanager put-secret-value."
  value       = aws_secretsmanager_secret.database_url.name
}

output "security_group_id" {
  description = "The task's: let it in where Kafka is."
  value       = aws_security_group.task.id
}

output "cluster_name" {
  description = "The cluster of the service."
  value       = aws_ecs_cluster.this.name
}

output "task_role_name" {
  description = "For more rights, as rds-db:connect for IAM tokens, or kafka-cluster:* for MSK."
  value       = aws_iam_role.task.name
}

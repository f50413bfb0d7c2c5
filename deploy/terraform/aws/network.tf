resource "aws_security_group" "task" {
  name_prefix = "${var.name}-"
  description = "Walgate"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

# Kafka, Secrets Manager, the registry: wherever they are.
resource "aws_vpc_security_group_egress_rule" "all" {
  security_group_id = aws_security_group.task.id
  description       = "Database, Kafka, AWS"
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_ingress_rule" "scraper" {
  for_each                     = var.http_port == null ? {} : var.scraper_security_group_ids
  security_group_id            = aws_security_group.task.id
  description                  = "Metrics, for ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = var.http_port
  to_port                      = var.http_port
  referenced_security_group_id = each.value
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = var.db_security_group_id
  description                  = "Walgate"
  ip_protocol                  = "tcp"
  from_port                    = var.db_port
  to_port                      = var.db_port
  referenced_security_group_id = aws_security_group.task.id
}

resource "aws_security_group" "state" {
  name_prefix = "${var.name}-state-"
  description = "Checkpoint of Walgate"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "state" {
  security_group_id            = aws_security_group.state.id
  description                  = "NFS"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
  referenced_security_group_id = aws_security_group.task.id
}

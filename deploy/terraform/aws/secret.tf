# postgres://walgate:PASSWORD@ENDPOINT:5432/DATABASE?sslmode=verify-full&sslrootcert=… Terraform never sees it:
#
#   aws secretsmanager put-secret-value --secret-id NAME/database-url --secret-string file://database.url
resource "aws_secretsmanager_secret" "database_url" {
  name        = "${var.name}/database-url"
  description = "source.url of Walgate"
}

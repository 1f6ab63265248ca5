output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "isolated_subnet_ids" {
  description = "Subnets without a way to the internet, for functions and Redis."
  value       = aws_subnet.isolated[*].id
}

output "public_subnet_ids" {
  description = "Subnets for tasks with a public address; their security group lets nothing in."
  value       = aws_subnet.public[*].id
}

output "client_security_group_id" {
  description = "Security group of functions and tasks."
  value       = aws_security_group.client.id
}

# A network of its own: isolated subnets for functions and Redis, public ones for tasks that fetch their image.
# S3 and DynamoDB are reached through gateways, which cost nothing; there is no NAT gateway, which would.

locals {
  # What passes through the gateways: what Headgate does, and fetching the layers of its image from S3.
  passing = {
    s3       = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    dynamodb = ["dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
  }

  zones = [for letter in var.zones : "${var.region}${letter}"] # named: a zone that AWS adds must not move a subnet
}

resource "aws_vpc" "this" {
  # checkov:skip=CKV2_AWS_11:Flow logs cost by volume and the lake's traffic is large; turn them on in the account where they are wanted.
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

# The group that everything gets which names none: it lets nothing in and nothing out.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_subnet" "isolated" {
  count             = length(local.zones)
  vpc_id            = aws_vpc.this.id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.cidr, 4, count.index)

  tags = { Name = "${var.name}-isolated-${count.index}" }
}

resource "aws_subnet" "public" {
  count             = length(local.zones)
  vpc_id            = aws_vpc.this.id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.cidr, 4, count.index + 8)

  tags = { Name = "${var.name}-public-${count.index}" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_route_table" "isolated" {
  vpc_id = aws_vpc.this.id
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table_association" "isolated" {
  count          = length(local.zones)
  subnet_id      = aws_subnet.isolated[count.index].id
  route_table_id = aws_route_table.isolated.id
}

resource "aws_route_table_association" "public" {
  count          = length(local.zones)
  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_vpc_endpoint" "gateway" {
  for_each = local.passing

  vpc_id            = aws_vpc.this.id
  vpc_endpoint_type = "Gateway"
  service_name      = "com.amazonaws.${var.region}.${each.key}"
  route_table_ids   = [aws_route_table.isolated.id, aws_route_table.public.id]

  # Which buckets and tables is for the roles to say.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "WhatHeadgateDoes"
      Effect    = "Allow"
      Principal = "*"
      Action    = each.value
      Resource  = "*"
    }]
  })
}

# What a function or task is: nobody calls it, it calls AWS over TLS and, inside, Redis.
resource "aws_security_group" "client" {
  # checkov:skip=CKV2_AWS_5:Functions and tasks of other modules take it.
  name        = "${var.name}-client"
  description = "Headgate functions and tasks: nothing in, TLS and Redis out"
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_egress_rule" "tls" {
  security_group_id = aws_security_group.client.id
  description       = "S3, Kinesis, DynamoDB, ECR, logs"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "redis" {
  security_group_id = aws_security_group.client.id
  description       = "The claim store inside the network"
  ip_protocol       = "tcp"
  from_port         = 6379
  to_port           = 6379
  cidr_ipv4         = var.cidr
}

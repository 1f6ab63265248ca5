mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name   = "headgate-test"
  region = "eu-west-1"
}

run "nobody_gets_in_and_isolated_subnets_have_no_way_out" {
  assert {
    condition     = length(aws_route_table.isolated.route) == 0 && length(aws_default_security_group.this.ingress) == 0
    error_message = "Isolated."
  }

  assert {
    condition     = [for rule in [aws_vpc_security_group_egress_rule.tls, aws_vpc_security_group_egress_rule.redis] : rule.to_port] == [443, 6379]
    error_message = "Functions and tasks call TLS and Redis only."
  }

  assert {
    condition     = aws_subnet.isolated[*].availability_zone == ["eu-west-1a", "eu-west-1b"] && length(distinct(concat(aws_subnet.isolated[*].cidr_block, aws_subnet.public[*].cidr_block))) == 4
    error_message = "Two zones, four ranges."
  }

  assert {
    condition     = !coalesce(aws_subnet.public[0].map_public_ip_on_launch, false)
    error_message = "Addresses are given to tasks that ask for them."
  }
}

run "gateways_let_named_actions_pass" {
  assert {
    condition     = alltrue([for gateway in aws_vpc_endpoint.gateway : !strcontains(jsonencode(jsondecode(gateway.policy).Statement[0].Action), "*")])
    error_message = "No wildcard."
  }
}

run "small_ranges_and_single_zones_are_refused" {
  command = plan

  variables {
    cidr  = "10.0.0.0/26"
    zones = ["a"]
  }

  expect_failures = [var.cidr, var.zones]
}

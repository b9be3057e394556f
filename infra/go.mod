module subwire/infra

go 1.26.0

module example.com/own-plugin

go 1.26.0

require github.com/vaeguard/vaeguard v0.0.0

replace github.com/vaeguard/vaeguard => ../..

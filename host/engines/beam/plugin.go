package vaebeam

import (
	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/registry"
)

// accounts are read by Beam as soon as a program with it starts, to find the home
// folder of its user; it ends if it must not.
var accounts = []string{"/etc/passwd", "/etc/group", "/etc/nsswitch.conf"}

// ServeIfPlugin is the first line of main in a program with Beam, in the place of
// builtin.ServeIfPlugin: classifiers that ship with vaeguard run confined in copies of the
// program itself, and here they may read the system's list of accounts besides.
func ServeIfPlugin() {
	c := builtin.Components()
	all := c.Classifiers.Entries()
	for i, e := range all {
		if e.Default.Needs != nil {
			needs := *e.Default.Needs
			needs.Read = append(append([]string(nil), needs.Read...), accounts...)
			all[i].Default.Needs = &needs
		}
	}
	c.Classifiers = registry.NewTable(c.Classifiers.Kind(), all...)
	host.ServeIfPlugin(c)
}

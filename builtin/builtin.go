// Package builtin is what ships in the box: one file per component, one table
// per kind, handed to the host as a value.
package builtin

import (
	"github.com/vaeguard/vaeguard/builtin/attacks"
	"github.com/vaeguard/vaeguard/builtin/classifiers"
	"github.com/vaeguard/vaeguard/builtin/corruptions"
	"github.com/vaeguard/vaeguard/builtin/datasets"
	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/losses"
	"github.com/vaeguard/vaeguard/builtin/methods"
	"github.com/vaeguard/vaeguard/builtin/metrics"
	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/builtin/presets"
	"github.com/vaeguard/vaeguard/builtin/scores"
	"github.com/vaeguard/vaeguard/builtin/steps"
	"github.com/vaeguard/vaeguard/builtin/trackers"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/specs"
)

// Components is everything that ships. The result is the caller's to extend.
func Components() host.Components {
	return host.Components{
		Layers:      layers.Table(),
		Losses:      losses.Table(),
		Optimizers:  optimizers.Table(),
		Schedules:   optimizers.Schedules(),
		Metrics:     metrics.Table(),
		Methods:     methods.Table(),
		Scores:      scores.Table(),
		Attacks:     attacks.Table(),
		Corruptions: corruptions.Table(),
		Datasets:    datasets.Table(),
		Formats:     formats.Table(),
		Steps:       steps.Table(),
		Presets:     presets.Table(),
		Surrogate:   layers.Surrogate,
		AutoEncoder: layers.AutoEncoder,
		Classifiers: classifiers.Table(),
		Drafts:      classifiers.Drafts(),
		Trackers:    trackers.Table(),
		Specs:       specs.FS,
	}
}

// ServeIfPlugin is the first line of any main, or TestMain, whose process
// starts shipped plugins: it serves one and exits if a host asked for it, and
// returns at once otherwise. cli.Main does it by itself.
func ServeIfPlugin() { host.ServeIfPlugin(host.Components{Classifiers: classifiers.Table()}) }

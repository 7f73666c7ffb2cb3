package host

import (
	"io/fs"
	"runtime/debug"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/evaluate/report"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/host/track"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Components is everything that can be named in a spec. builtin.Components()
// is what ships; a third party extends a copy:
//
//	c := builtin.Components()
//	c.Layers = c.Layers.With(registry.Entry[nn.Maker]{Name: "soft_threshold", Default: SoftThreshold{Lambda: 0.1}, Doc: "…"})
//	cli.Main(c)
type Components struct {
	Layers      registry.Table[nn.Maker]
	Losses      registry.Table[train.Loss]
	Optimizers  registry.Table[nn.Optimizer]
	Schedules   registry.Table[nn.Schedule]
	Metrics     registry.Table[train.Metric]
	Methods     registry.Table[detect.Method]
	Scores      registry.Table[detect.Score]
	Attacks     registry.Table[attack.Attack]
	Corruptions registry.Table[evaluate.Corruption]
	Datasets    registry.Table[dataset.Set]
	Formats     registry.Table[dataset.Format]
	Steps       registry.Table[signature.Step]
	Presets     registry.Table[Preset]
	// Surrogate are the layers of a surrogate whose section names none, for
	// examples of a shape; nil: none but its last.
	Surrogate func(in tensor.Shape, classes int) []nn.Maker
	// AutoEncoder are the layers that vae: auto stands for: see vae.Section.With. unit
	// says that the numbers of a row are from 0 to 1; nil: there is no such word.
	AutoEncoder func(in tensor.Shape, coding vae.Coding, unit bool) vae.Section
	// Classifiers are the shipped plugins, served by this very program when the
	// host starts it as a plugin. The decoder does not need them, since a spec may
	// also name plugins that are found elsewhere: Tables leaves them out.
	Classifiers registry.Table[launch.Shipped]
	// Drafts are how vaeguard init writes the section classifier, the first that fits;
	// nil: only what a user names as a plugin.
	Drafts []ClassifierDraft
	// Trackers are where train, run and grid tell the figures of a run, by --track.
	Trackers registry.Table[track.Tracker]
	// Sections are further parts of report.html, in order; nil: none.
	Sections []report.Section
	// Specs are the ready specs, by file name.
	Specs fs.FS
}

// Tables are the tables for parsing, lint, list, explain and schema.
func (c Components) Tables() []registry.Any {
	return []registry.Any{c.Layers, c.Losses, c.Optimizers, c.Schedules, c.Metrics, c.Methods, c.Scores, c.Attacks, c.Corruptions, c.Datasets, c.Formats, c.Steps, c.Presets}
}

// ServeIfPlugin serves a shipped classifier and exits if a host started this
// program as its plugin; otherwise it returns at once. It must be the first
// line of any main, or TestMain, whose process starts shipped plugins.
func ServeIfPlugin(c Components) { launch.ServeIfPlugin(c.Classifiers) }

// Version is the module's version, or "devel" with the commit where the
// build knows it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path != "github.com/vaeguard/vaeguard" {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel+" + s.Value[:12]
		}
	}
	return "devel"
}

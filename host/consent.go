package host

import (
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/launch"
)

// A spec that is given to a verb, or to Load, is consent to run what it names. A
// detector is data: what its spec names is started only if it is shipped, or if
// the caller allows it; for what it asks besides see asks.go.

// consent is who may be started for the experiment; nil: whatever its spec names.
func (e *Experiment) consent() *launch.Consent {
	if e.open == nil {
		return nil
	}
	named := slices.ContainsFunc(e.open.Classifier, func(one string) bool {
		key, _, _ := strings.Cut(one, "=")
		return slices.Contains([]string{"plugin", "path", "command"}, strings.TrimSpace(key))
	})
	return &launch.Consent{Allow: e.open.AllowCommand, Lock: e.open.AllowLock, User: launch.UserList(), Named: named, Own: e.open.own, Root: e.root, Asks: e.asks, Given: e.open.given}
}

// finder finds the experiment's plugin.
func (e *Experiment) finder() launch.Finder {
	f := Plugins()
	f.NoLock = e.open != nil
	return f
}

// CommandDigest is what OpenOptions.AllowCommand takes for what the spec's classifier runs
// and, of a detector, for what it asks for besides: "sha256:…", of both with a comma between
// them, and "" for a shipped one that asks for nothing. Nothing is started.
func (e *Experiment) CommandDigest() (string, error) {
	p, err := e.Spec.Classifier.Model.Find(e.finder(), e.Spec.Abs("."))
	if err != nil {
		return "", err
	}
	c := e.consent()
	if c == nil {
		c = &launch.Consent{}
	}
	var sums []string
	if !p.Shipped {
		d, err := c.Digest(p)
		if err != nil {
			return "", err
		}
		sums = append(sums, "sha256:"+d.SHA256)
	}
	if e.stored != nil {
		asks, _, err := e.asksOf(e.stored)
		if err != nil {
			return "", err
		}
		if len(asks.What) > 0 {
			sums = append(sums, "sha256:"+asks.SHA256())
		}
	}
	return strings.Join(sums, ","), nil
}

// ReopenOptions open a detector that was made from the experiment's own spec, which
// is consent for what that names.
func (e *Experiment) ReopenOptions() OpenOptions {
	o := OpenOptions{Options: e.o, Base: e.Spec.Abs("."), own: true}
	if sum, err := e.CommandDigest(); err == nil && sum != "" {
		o.AllowCommand = []string{sum}
	}
	return o
}

// remember notes in the user's own list what a training has started.
func (e *Experiment) remember(cl *launch.Classifier) {
	if e.open != nil {
		return
	}
	if err := cl.Remember(launch.UserList()); err != nil {
		e.o.logger().Warn("what the classifier runs cannot be noted as allowed: opening the detector will need --allow-command", "cause", err)
	}
}

// alike are options for another detector around the classifier of d.
func (d *Detector) alike() OpenOptions {
	o := OpenOptions{Options: d.Experiment.o, AllowCommand: []string{d.Classifier.Digest().SHA256}}
	if was := d.Experiment.open; was != nil {
		o.AllowCommand, o.AllowLock = append(o.AllowCommand, was.AllowCommand...), was.AllowLock
	}
	return o
}

package serve

import (
	"cmp"
	"slices"

	"github.com/vaeguard/vaeguard/host/serve/judge"
)

// List implements judge.Models.
func (m *Models) List() []judge.Status {
	type known struct{ name, used, why, reason, refused string }
	var all []known
	m.mu.Lock()
	for name, e := range m.entries {
		k := known{name: name, reason: e.reason, refused: e.refused}
		if v := e.current; v != nil {
			k.used, k.why = v.Version(), v.why()
		}
		all = append(all, k)
	}
	m.mu.Unlock()
	var out []judge.Status
	for _, k := range all {
		if k.used != "" {
			out = append(out, judge.Status{Name: k.name, Version: k.used, Ready: k.why == "", Reason: k.why})
		}
		others := 0
		for _, other := range m.source.versions(k.name) { // which reads folders: not while requests wait
			if other == k.used {
				continue
			}
			others++
			reason := "another version is in use"
			if k.used == "" || other == k.refused && k.reason != "" {
				reason = k.reason
			}
			out = append(out, judge.Status{Name: k.name, Version: other, Reason: reason})
		}
		if k.used == "" && others == 0 {
			out = append(out, judge.Status{Name: k.name, Reason: k.reason})
		}
	}
	slices.SortFunc(out, func(a, b judge.Status) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return out
}

// Ready reports whether every model has a version that answers, but for those that
// were unloaded; why names those that do not.
func (m *Models) Ready() (ok bool, why []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, e := range m.entries {
		switch {
		case e.unloaded:
		case e.current == nil:
			why = append(why, name+": "+e.reason)
		case e.current.why() != "":
			why = append(why, name+": "+e.current.why())
		}
	}
	slices.Sort(why)
	return len(why) == 0 && len(m.entries) > 0, why
}

// pulse takes the locks that a request takes.
func (m *Models) pulse() {
	m.mu.Lock()
	var used []*version
	for _, e := range m.entries {
		if e.current != nil {
			used = append(used, e.current)
		}
	}
	m.mu.Unlock()
	for _, v := range used {
		v.Counters()
	}
}

// Reloads are those so far, of the models that there are.
func (m *Models) Reloads() Reloads {
	var all Reloads
	m.EachReloads(func(_ string, done, refused int64) {
		all.Done += done
		all.Refused += refused
	})
	return all
}

// EachReloads calls f with the reloads of each model so far, for the metrics.
func (m *Models) EachReloads(f func(model string, done, refused int64)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, e := range m.entries {
		f(name, e.reloads.Done, e.reloads.Refused)
	}
}

var _ judge.Using = (*Models)(nil)

// Using implements judge.Using.
func (m *Models) Using() []judge.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]judge.Status, 0, len(m.entries))
	for name, e := range m.entries {
		one := judge.Status{Name: name, Reason: e.reason}
		if v := e.current; v != nil {
			one = judge.Status{Name: name, Version: v.Version(), Ready: v.why() == "", Reason: v.why()}
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b judge.Status) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

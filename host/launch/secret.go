package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/secret"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// minSecret is the length from which a secret is looked for in text: a
// shorter one would be found in every line.
const minSecret = 4

// hider keeps the secrets of a config out of what a plugin prints and answers.
// The zero value, and nil, hide nothing.
type hider struct {
	r   atomic.Pointer[strings.Replacer]
	all atomic.Pointer[[]string] // what is hidden, the longest first
}

// add hides secrets from now on, as they are, as JSON and JSON pointers write them, and line by
// line. It replaces what was hidden before; none leave it.
func (h *hider) add(secrets []string) {
	var all []string
	take := func(s string) {
		if len(s) >= minSecret {
			all = append(all, s)
		}
	}
	for _, s := range secrets {
		take(s)
		if text, err := json.Marshal(s); err == nil {
			take(string(text[1 : len(text)-1]))
		}
		take(strings.NewReplacer("~", "~0", "/", "~1").Replace(s))
		for line := range strings.Lines(s) {
			take(strings.TrimRight(line, "\r\n"))
		}
	}
	if len(all) == 0 {
		return
	}
	// The longest first: a secret may hold another.
	slices.SortFunc(all, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	all = slices.Compact(all)
	var pairs []string
	for _, s := range all {
		pairs = append(pairs, s, secret.Redacted)
	}
	h.all.Store(&all)
	h.r.Store(strings.NewReplacer(pairs...))
}

// line is text of a line, of which the end may have been cut.
func (h *hider) line(s string) string {
	if len(s) >= tailRead {
		return h.cut(s)
	}
	return h.text(s)
}

// cut is text that may have been cut before it came here: its end may be the
// beginning of a secret.
func (h *hider) cut(s string) string {
	s = h.text(s)
	if h == nil {
		return s
	}
	all := h.all.Load()
	if all == nil {
		return s
	}
	begun := 0 // bytes at the end of s with which a secret begins
	for _, text := range *all {
		for n := min(len(text)-1, len(s)); n >= max(minSecret, begun+1); n-- {
			if strings.HasSuffix(s, text[:n]) {
				begun = n
			}
		}
	}
	if begun == 0 {
		return s
	}
	return s[:len(s)-begun] + secret.Redacted
}

// text is s without the secrets.
func (h *hider) text(s string) string {
	if h == nil {
		return s
	}
	if r := h.r.Load(); r != nil {
		return r.Replace(s)
	}
	return s
}

// err is err without the secrets in its message; kinds stay what they are.
func (h *hider) err(err error) error {
	if err == nil {
		return nil
	}
	before := err.Error()
	after := h.text(before)
	var d sdk.Diagnostics
	if errors.As(err, &d) {
		clean := slices.Clone(d)
		for i := range clean {
			clean[i].Pointer, clean[i].Message = h.text(clean[i].Pointer), h.text(clean[i].Message)
		}
		if !slices.Equal(clean, d) {
			return clean
		}
	}
	if after == before {
		return err
	}
	return &redacted{text: after, err: err}
}

// redacted is an error whose message is not its cause's.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.err }

// discreet is a logger that hides.
type discreet struct {
	hclog.Logger
	hide   *hider
	budget *logBudget
}

func (d discreet) args(list []any) []any {
	out := slices.Clone(list)
	for i, a := range out {
		switch a := a.(type) {
		case string:
			out[i] = wire.Text(d.hide.text(a), wire.MaxText)
		case error:
			out[i] = d.hide.err(a)
		case nil, bool, int, int64, uint64, float64, time.Duration, time.Time:
		default: // a list or an object of a line of JSON
			out[i] = wire.Text(d.hide.text(fmt.Sprint(a)), wire.MaxText)
		}
	}
	return out
}

// Log writes one line of what a plugin printed, and hides what Trace, Debug, Info, Warn and Error hide too.
func (d discreet) Log(level hclog.Level, msg string, args ...any) {
	if level < d.GetLevel() {
		return
	}
	ok, before := d.budget.take(level, time.Now())
	if !ok {
		return
	}
	if before != "" {
		d.Logger.Log(level, before)
	}
	d.Logger.Log(level, wire.Text(d.hide.line(msg), wire.MaxText), d.args(args)...)
}

func (d discreet) Trace(msg string, args ...any) { d.Log(hclog.Trace, msg, args...) }
func (d discreet) Debug(msg string, args ...any) { d.Log(hclog.Debug, msg, args...) }
func (d discreet) Info(msg string, args ...any)  { d.Log(hclog.Info, msg, args...) }
func (d discreet) Warn(msg string, args ...any)  { d.Log(hclog.Warn, msg, args...) }
func (d discreet) Error(msg string, args ...any) { d.Log(hclog.Error, msg, args...) }

// With and the names keep hiding.
func (d discreet) With(args ...any) hclog.Logger {
	return discreet{d.Logger.With(d.args(args)...), d.hide, d.budget}
}
func (d discreet) Named(name string) hclog.Logger {
	return discreet{d.Logger.Named(name), d.hide, d.budget}
}
func (d discreet) ResetNamed(name string) hclog.Logger {
	return discreet{d.Logger.ResetNamed(name), d.hide, d.budget}
}

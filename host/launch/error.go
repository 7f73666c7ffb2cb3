package launch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// OpPreprocess is the Op of an Error whose cause are the registry.FieldErrors of
// Options.Preprocess: keys that do not go with the model.
const OpPreprocess = "preprocess"

// maxCause is the most bytes of an Error's cause: consent names each file that would run.
const maxCause = 1 << 20

// Error is a fault of a plugin: it could not be found, verified or started, it
// does not keep to the protocol, it failed a check, it hung, or it crashed more
// often than its budget allows.
type Error struct {
	Op     string   // what was being done: "start", "pin", "handshake", "describe", "configure", "check", "predict", …
	Plugin string   // as the spec names it
	Path   string   // what was, or would have been, executed
	SHA256 string   // lower-case hex, "" before it was read
	Exit   string   // "exit status 7", "signal: killed", or "" if it did not end by itself
	Stderr []string // its last lines
	Err    error    // the cause; sdk.Kind and sdk.Diagnostics are found in it
}

// Error names the plugin, its path and digest, the cause, how it ended and its
// last lines.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("plugin " + wire.Text(e.Plugin, wire.MaxName))
	var where []string
	if e.Path != "" && e.Path != e.Plugin {
		where = append(where, wire.Text(e.Path, wire.MaxText))
	}
	if e.SHA256 != "" {
		where = append(where, "sha256:"+e.SHA256[:min(12, len(e.SHA256))]+"…")
	}
	if len(where) > 0 {
		b.WriteString(" (" + strings.Join(where, ", ") + ")")
	}
	cause := fmt.Sprint(e.Err)
	if slices.Contains([]string{"start", "pin", OpAllow}, e.Op) { // of what was not asked yet: names of files, and no text of several lines
		cause = wire.Text(cause, maxCause)
	}
	fmt.Fprintf(&b, ": %s: %s", e.Op, cause)
	if e.Exit != "" {
		b.WriteString("; it ended with " + e.Exit)
	}
	if len(e.Stderr) > 0 {
		b.WriteString("; its last lines on stderr:")
		for _, line := range e.Stderr {
			b.WriteString("\n    " + line)
		}
	}
	return b.String()
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// fault wraps err with all that is known about the plugin; p may be nil.
func (c *Classifier) fault(op string, p *process, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return c.cmd.fault(op, p, c.hide.err(err))
}

func (v *verified) fault(op string, p *process, err error) error {
	e := &Error{Op: op, Plugin: v.Name, Path: v.file, SHA256: v.sum, Err: err}
	if p != nil && p.run != nil {
		e.Exit, e.Stderr = p.run.exitReport()
		if excess := p.run.exceeded(err, e.Stderr); excess != "" {
			e.Err = fmt.Errorf("%s: %w", excess, err)
		} else if note := p.run.box.denied(p.run.self, err, e.Stderr); note != "" {
			e.Err = fmt.Errorf("%w; %s", err, note)
		} else if note := p.run.box.early(p.run.self); note != "" && e.Exit != "" && unasked(op) {
			e.Err = fmt.Errorf("%w; %s", err, note)
		}
	}
	return e
}

// unasked reports whether a plugin has not been asked about rows yet.
func unasked(op string) bool { return op == "start" || op == "describe" || op == "configure" }

// answered wraps an error that a living plugin answered. What is the caller's
// fault, or the caller's wish, is no Error.
func (c *Classifier) answered(op string, p *process, err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), sdk.KindOf(err) == sdk.InvalidArgument:
		return fmt.Errorf("plugin %s: %s: %w", c.cmd.Name, op, c.hide.err(err))
	}
	return c.fault(op, p, err)
}

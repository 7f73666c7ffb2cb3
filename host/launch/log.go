package launch

import (
	"bytes"
	"io"

	"github.com/hashicorp/go-hclog"
)

// quiet is the logger for go-plugin's own remarks: an ending process is news
// to it, to us it is either what we wanted or part of an Error. The plugin's
// lines on stderr, which go-plugin logs under the plugin's name, keep their
// levels.
type quiet struct{ hclog.Logger }

func (q quiet) Info(msg string, args ...any)  { q.Debug(msg, args...) }
func (q quiet) Warn(msg string, args ...any)  { q.Debug(msg, args...) }
func (q quiet) Error(msg string, args ...any) { q.Debug(msg, args...) }

// Named returns the unchanged logger for the plugin's own lines.
func (q quiet) Named(name string) hclog.Logger {
	if name == "stdio" {
		return quiet{q.Logger.Named(name)}
	}
	return q.Logger.Named(name)
}

// logWriter logs what a plugin printed through go-plugin's stream.
type logWriter struct {
	log  hclog.Logger
	tail *tail
}

var _ io.Writer = logWriter{}

func (w logWriter) Write(b []byte) (int, error) {
	w.tail.write(b)
	for line := range bytes.Lines(b) {
		w.log.Debug(string(bytes.TrimRight(line, "\r\n")))
	}
	return len(b), nil
}

package python_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/launch"
)

// TestPrintsBeforeServe: importing the SDK leaves standard output alone, so a
// program that prints past Python's buffers before it serves claims it first.
// Without, the host says what is wrong.
func TestPrintsBeforeServe(t *testing.T) {
	o, l := options(t, "loud.py"), &log{}
	o.Command.Args = append(o.Command.Args, "claim")
	o.Env, o.Logger = append(o.Env, "PYTHONUNBUFFERED=1"), l.logger()
	start(t, o)
	for _, want := range []string{"loading by a child", "loading by a library"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("%q is not in the log", want)
		}
	}
	o = options(t, "loud.py")
	c, err := launch.Start(t.Context(), o)
	if err == nil {
		_ = c.Close()
	}
	if !strings.Contains(fmt.Sprint(err), `it printed "loading by a child" to stdout, which belongs to the handshake`) {
		t.Errorf("%v", err)
	}
}

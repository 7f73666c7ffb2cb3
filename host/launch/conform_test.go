package launch

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
)

// TestConform: what an author must be told, and by which finding.
func TestConform(t *testing.T) {
	self, err := Self("fake")
	if err != nil {
		t.Fatal(err)
	}
	starts := t.TempDir() + "/starts"
	for _, c := range []struct {
		name string
		cmd  Command
		fail string // the finding that fails; "": none
		want string
	}{
		{"honest", self, "", ""},
		{"gRPC's own limit of messages", act("raw", "RAW_GRPC=default", "RAW_FEATURES=64"), "message", "gRPC's default limit of 4 MiB"},
		{"crashes at many rows", act("raw", "RAW_MANY=exit"), "message", "rows in a message of"},
		{"answers many rows short of the last", act("raw", "RAW_MANY=tired"), "message", "the last row's answer is off by"},
		{"a digest of the start", act("raw", "RAW_DIGEST=pid"), "again", "it came back as another model"},
		{"one place for two processes", act("raw", "RAW_ALONE="+starts), "again", "a second start: "},
		{"weights of the start", act("raw", "RAW_WEIGHTS="+t.TempDir()+"/first"), "again", "two starts of one digest answer differently"},
		{"does not end", act("raw", "RAW_END=stays"), "shutdown", "after Shutdown"},
		{"does not watch its stdin", act("raw", "RAW_STDIN=ignored"), "stdin", "after its stdin was closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := Start(t.Context(), Options{Command: c.cmd, Checks: ChecksOff, RestartBudget: -1, CallTimeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			findings, err := p.Conform(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range findings {
				switch {
				case f.Severity == check.Fail && f.Name == c.fail:
					found = true
					if !strings.Contains(f.String(), c.want) {
						t.Errorf("%v, want %q", f, c.want)
					}
				case f.Severity != check.Pass && f.Name != "health": // that of no start but the first
					t.Errorf("%v: %v", f.Severity, f)
				}
			}
			if found != (c.fail != "") {
				t.Errorf("no failure of %q in %v", c.fail, findings)
			}
		})
	}
}

// conformRaw are the ways in which a raw plugin fails at Conform: what Describe and
// Predict make of its answer y to n rows.
func conformRaw(digest *string, y []byte, n int64) {
	if digest != nil && os.Getenv("RAW_DIGEST") == "pid" {
		*digest = strconv.Itoa(os.Getpid())
	}
	if y == nil {
		return
	}
	if rawAgain {
		for i := 0; i < len(y); i += 8 {
			y[i+3], y[i+2] = 0x3f, 0x80 // 1
		}
	}
	switch how := os.Getenv("RAW_MANY"); {
	case n < 1000:
	case how == "exit":
		os.Exit(9)
	case how == "tired":
		y[len(y)-1], y[len(y)-2] = 0x3f, 0x80
	}
}

var _ sdk.Classifier = (*Classifier)(nil)

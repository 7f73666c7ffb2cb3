package launch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
)

func TestLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which the short run serves, takes more memory than the limits leave")
	}
	for _, c := range []struct {
		act    string
		limits Limits
		want   string // of the error; "": none
	}{
		{"hog", Limits{MemoryMB: 400}, "memory limit of 400"},
		{"hogs", Limits{MemoryMB: 300}, "processes used"},
		{"inherited", Limits{MemoryMB: 400}, ""},
		{"inherited", Limits{}, "its parent is not bounded"},
		{"files", Limits{OpenFiles: 64}, "it reached its limit of 64 open files"},
		{"files", Limits{}, ""},
		{"privileges", Limits{}, "privileges can be gained"},
		{"privileges", Limits{NoNewPrivileges: true, MemoryMB: 400, OpenFiles: 64}, ""},
	} {
		t.Run(fmt.Sprintf("%s with %+v", c.act, c.limits), func(t *testing.T) {
			t.Parallel()
			self, err := Self("rogue")
			if err != nil {
				t.Fatal(err)
			}
			config := fmt.Sprintf(`{"act": %q, "at": 1, "count": %q}`, c.act, filepath.Join(t.TempDir(), "count"))
			p, err := Start(t.Context(), Options{Command: self, Checks: ChecksOff, RestartBudget: -1, Limits: c.limits, Config: sdk.Config{JSON: []byte(config)}})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			_, err = p.Predict(context.Background(), random(1, 1, 4, 3, 2))
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil || !strings.Contains(string(status), "NoNewPrivs:\t0") {
		t.Errorf("the host itself has lost privileges: %v", err)
	}
}

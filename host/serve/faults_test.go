package serve_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/servetest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestFaultsUnderLoad kills the classifier and reloads versions, some of them broken, while
// clients ask: every answer is the version's own, or says that the classifier is away, and
// nothing is left behind. VAEGUARD_SERVE_FAULTS=1 does it at length: 50 kills and 100
// reloads of which 10 are broken; else 3 and 5 of which 1 is.
func TestFaultsUnderLoad(t *testing.T) {
	kills, reloads, broken := 3, 5, 1
	if os.Getenv("VAEGUARD_SERVE_FAULTS") != "" {
		kills, reloads, broken = 50, 100, 10
	} else if testing.Short() {
		t.Skip("it takes some seconds")
	}
	dir := t.TempDir()
	// Odd versions have one classifier, even ones another, each with a control of its own.
	kinds := []servetest.Trained{servetest.Train(t, components(), filepath.Join(dir, "odd"), 0), servetest.Train(t, components(), filepath.Join(dir, "even"), 1)}
	at := func(n int) string { return filepath.Join(dir, "models", "small", fmt.Sprint(n)) }
	place := func(n int, bad bool) {
		t.Helper()
		from := kinds[(n+1)%2].Dir
		if bad {
			spoil(t, from, at(n))
			return
		}
		if err := os.CopyFS(at(n)+".partial", os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(at(n)+".partial", at(n)); err != nil {
			t.Fatal(err)
		}
	}
	place(1, false)
	s := run(t, dir, listens+"repository: models\nlog: {access: false}\n")
	want := map[string][]float64{} // scores of a row by kind
	for i, kind := range kinds {
		d := kind.Open(t)
		r, err := d.Detect(t.Context(), rowsOf(t, body(3, 2)))
		if err != nil {
			t.Fatal(err)
		}
		want[fmt.Sprint(1-i)] = r.Score // by version modulo 2
	}
	goroutines := runtime.NumGoroutine()

	var stop atomic.Bool
	var clients sync.WaitGroup
	var good, away, wrong, lost atomic.Int64
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				code, text, _ := s.post("/judge/small", body(3, 2))
				var v verdict
				switch {
				case code == http.StatusOK && readVerdict(text, &v) == nil:
					n := 0
					_, _ = fmt.Sscan(v.Version, &n)
					if good.Add(1); !slices.Equal(v.Score, want[fmt.Sprint(n%2)]) {
						wrong.Add(1)
						t.Errorf("version %s answers %v", v.Version, v.Score)
					}
				case code == http.StatusServiceUnavailable && strings.Contains(text, "the classifier is away"):
					away.Add(1)
					time.Sleep(5 * time.Millisecond)
				default:
					lost.Add(1)
					t.Errorf("%d %s", code, text)
				}
			}
		})
	}
	answered := func(why string) {
		t.Helper()
		now := good.Load()
		await(t, "an answer after "+why, func() bool { return good.Load() > now+4 })
	}
	version, refused, killed := 1, int64(0), 0
	inUse := 1
	kill := func() {
		kind := kinds[(inUse+1)%2]
		before := away.Load()
		kind.Control(t, servetest.Crash)
		await(t, "a failure", func() bool { return away.Load() > before })
		kind.Control(t, servetest.Works)
		killed++
		answered("a kill")
	}
	for i := range reloads {
		for killed < kills*i/reloads {
			kill()
		}
		version++
		if bad := broken > 0 && i%(reloads/broken) == reloads/broken-1; bad {
			place(version, true)
			refused++
			await(t, "a refusal", func() bool { return s.Models().Reloads().Refused >= refused })
			answered("a refusal")
			if err := os.RemoveAll(at(version)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		place(version, false)
		await(t, fmt.Sprint("version ", version), func() bool {
			m, done, err := s.Models().Lease("small", "")
			if err != nil {
				return false
			}
			defer done()
			return m.Version() == fmt.Sprint(version)
		})
		inUse = version
		if version > 3 {
			if err := os.RemoveAll(at(version - 3)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for killed < kills {
		kill()
	}
	stop.Store(true)
	clients.Wait()
	r := s.Models().Reloads()
	if r.Done != int64(reloads-broken) || r.Refused < refused || refused != int64(broken) {
		t.Errorf("%+v, want %d done and %d refused", r, reloads-broken, broken)
	}
	http.DefaultClient.CloseIdleConnections()
	left := runtime.NumGoroutine()
	for end := time.Now().Add(time.Minute); left > goroutines+20 && time.Now().Before(end); left = runtime.NumGoroutine() {
		time.Sleep(50 * time.Millisecond) // versions that were replaced end by themselves
	}
	if left > goroutines+20 {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before\n%s", left, goroutines, buf[:runtime.Stack(buf, true)])
	}
	t.Logf("%d kills, %d reloads, %d of them broken and refused: %d answers, each with the bits of its version; %d told that the classifier was away; %d wrong, %d lost; goroutines %d before, %d after",
		killed, r.Done+int64(broken), broken, good.Load(), away.Load(), wrong.Load(), lost.Load(), goroutines, left)
}

// readVerdict reads an answer of the test's way in.
func readVerdict(text string, v *verdict) error { return json.Unmarshal([]byte(text), v) }

// rowsOf are the rows of a body of it.
func rowsOf(t *testing.T, text string) *tensor.Tensor {
	t.Helper()
	var rows [][]float32
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatal(err)
	}
	x := tensor.New(len(rows), 64)
	for i := range rows {
		copy(x.Row(i), rows[i])
	}
	return x
}

package watch

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// described are the names of all metrics, with those that a histogram has besides.
func described(t *testing.T) []string {
	t.Helper()
	b := NewBoard(Options{})
	m := b.metrics
	ch := make(chan *prometheus.Desc, 100)
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.queue, m.batch, m.rows, m.classes, m.extra, m.p, m.score, m.similar, m.alarms, m.info, gauges{b}, following{}} {
		c.Describe(ch)
	}
	close(ch)
	var out []string
	for d := range ch {
		name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())
		if name == nil {
			t.Fatalf("no name in %v", d)
		}
		out = append(out, name[1])
	}
	for _, h := range []string{"request_seconds", "queue_seconds", "batch_rows", "p_value", "score_ratio"} {
		if !slices.Contains(out, "vaeguard_"+h) {
			t.Errorf("there is no metric vaeguard_%s", h)
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			out = append(out, "vaeguard_"+h+suffix)
		}
	}
	// What is counted elsewhere, which the tests of package serve look for.
	return append(out, "vaeguard_proxy_inferences_total", "vaeguard_proxy_verdicts_total", "vaeguard_proxy_passed_total", "vaeguard_answers_total", "vaeguard_events_total")
}

// TestShipped: the board and the alerts that ship know only metrics that there are, and
// the board shows each of them.
func TestShipped(t *testing.T) {
	known := described(t)
	used := make(map[string]bool)
	for _, file := range []string{"grafana/vaeguard.json", "prometheus/rules.yaml", "prometheus/rules_test.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "deploy", filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\bvaeguard_[a-z0-9_]+`).FindAllString(string(text), -1)
		if len(names) < 8 {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			if !slices.Contains(known, name) {
				t.Errorf("%s: there is no metric %s", file, name)
			}
			if strings.HasSuffix(file, ".json") {
				used[name] = true
			}
		}
	}
	for _, name := range known {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !used[base] && !used[base+"_bucket"] && !used[base+"_sum"] {
			t.Errorf("the board does not show %s", name)
		}
	}
}

// TestBoardFile: panels have numbers of their own and do not lie on each other.
func TestBoardFile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "deploy", "grafana", "vaeguard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		UID    string `json:"uid"`
		Panels []struct {
			ID      int                      `json:"id"`
			Title   string                   `json:"title"`
			Place   struct{ X, Y, W, H int } `json:"gridPos"`
			Targets []struct{ Expr string }
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	if board.UID == "" || len(board.Panels) < 10 {
		t.Fatalf("uid %q, %d panels", board.UID, len(board.Panels))
	}
	for i, p := range board.Panels {
		if len(p.Targets) == 0 || p.Place.X+p.Place.W > 24 {
			t.Errorf("%s: %d targets at %+v", p.Title, len(p.Targets), p.Place)
		}
		for _, q := range board.Panels[:i] {
			a, b := p.Place, q.Place
			if p.ID == q.ID || a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%s and %s share a number or a place", p.Title, q.Title)
			}
		}
	}
}

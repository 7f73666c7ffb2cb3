package scoring

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/atomicfile"
)

// report is report.json of merged shards.
type report struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Detector   string   `json:"detector"`
	Classifier string   `json:"classifier,omitempty"`
	Threshold  *float64 `json:"threshold"`
	Shards     int      `json:"shards"`
	Files      int      `json:"files"`
	Tally
}

//go:embed report.html
var page string

// WriteReport writes report.json and report.html into a folder, made if need be:
// what the detector said of all rows, in numbers.
func (m *Merged) WriteReport(dir string) error {
	first := m.Manifests[0]
	r := report{Name: first.Meta.Name, Version: first.Meta.Version, Detector: first.Meta.Detector, Classifier: first.Classifier,
		Threshold: first.Meta.Threshold, Shards: first.Of, Tally: m.Tally}
	sources := map[string]bool{}
	for _, p := range m.Manifests {
		for _, u := range p.Units {
			sources[u.Source] = true
		}
	}
	r.Files = len(sources)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := atomicfile.Write(filepath.Join(dir, "report.json"), func(f *os.File) error {
		enc := json.NewEncoder(f)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	})
	if err != nil {
		return err
	}
	t, err := template.New("report").Funcs(template.FuncMap{"percent": percent}).Parse(page)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "report.html"), func(f *os.File) error {
		return t.Execute(f, map[string]any{"R": r, "Predicted": bars(r.Predicted, slices.Sorted(maps.Keys(r.Predicted)), ""),
			"Scores": scoreBars(r.Scores), "PValues": pBars(r.PValues)})
	})
}

// bar is one line of a histogram.
type bar struct {
	Name  string
	N     int
	Width string // of the longest, in percent
}

func percent(n, of int) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3g %%", 100*float64(n)/float64(of))
}

func bars(counts map[string]int, order []string, format string) []bar {
	most := 1
	for _, n := range counts {
		most = max(most, n)
	}
	var out []bar
	for _, name := range order {
		text := name
		if _, err := strconv.Atoi(name); err == nil && format != "" {
			text = fmt.Sprintf(format, name)
		}
		out = append(out, bar{text, counts[name], strconv.Itoa(100 * counts[name] / most)})
	}
	return out
}

// scoreBars are scores from small to large.
func scoreBars(counts map[string]int) []bar {
	rank := func(name string) int {
		const far = 1 << 20
		switch name {
		case "negative":
			return -far - 1
		case "0":
			return -far
		case "inf":
			return far
		}
		n, _ := strconv.Atoi(name) // what is no number comes in the middle
		return n
	}
	order := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return rank(a) - rank(b) })
	out := bars(counts, order, "from 2^%s")
	for i, name := range order {
		if name == "0" {
			out[i].Name = "0"
		}
	}
	return out
}

func pBars(counts []int) []bar {
	named := map[string]int{}
	var order []string
	for i, n := range counts {
		name := fmt.Sprintf("%.2f–%.2f", float64(i)/pBins, float64(i+1)/pBins)
		named[name], order = n, append(order, name)
	}
	return bars(named, order, "")
}

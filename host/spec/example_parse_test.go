package spec_test

import (
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
)

// Filter is the kind of component of these examples.
type Filter interface{ Apply(x float64) float64 }

// Clip limits numbers.
type Clip struct {
	Lo float64 `yaml:"lo" doc:"least result"`
	Hi float64 `yaml:"hi" doc:"largest result" check:"> 0"`
}

// Apply implements Filter.
func (c Clip) Apply(x float64) float64 { return min(max(x, c.Lo), c.Hi) }

// Job is what the files of these examples declare.
type Job struct {
	Name    string   `yaml:"name" required:"true" doc:"names the job"`
	Rows    int      `yaml:"rows" default:"64" check:">= 1" doc:"read at a time"`
	Mode    string   `yaml:"mode" default:"fast" enum:"fast|exact" doc:"how it is done"`
	Filters []Filter `yaml:"filters" kind:"filter" doc:"applied in order"`
}

// filters is a value, as every table is.
func filters() registry.Table[Filter] {
	return registry.NewTable("filter", registry.Entry[Filter]{Name: "clip", Default: Clip{Lo: 0, Hi: 1}, Doc: "Limits numbers."})
}

// A file becomes a struct: what it leaves out has its default, components come
// from a table by name.
func ExampleParse() {
	var job Job
	text := "name: night\nfilters:\n  - clip: {hi: 10}\n  - clip\n"
	if _, err := spec.Parse("job.yaml", []byte(text), &job, spec.Options{Tables: []registry.Any{filters()}}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.Name, job.Rows, job.Mode, job.Filters)
	// Output: night 64 fast [{0 10} {0 1}]
}

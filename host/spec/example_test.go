package spec_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
)

// All faults of a file come back at once, each with its place.
func ExampleParse_errors() {
	text := `rows: 0
mode: fats
filters:
  - clip: {high: 10}
  - crop
`
	_, err := spec.Parse("job.yaml", []byte(text), new(Job), spec.Options{Tables: []registry.Any{filters()}})
	fmt.Println(err)
	for _, fault := range spec.Faults(err) {
		fmt.Printf("line %d: %q\n", fault.Pos.Line, fault.Path)
	}
	// Output:
	// job.yaml:1:1: missing key "name"
	// job.yaml:1:7: rows: must be >= 1, got 0
	// job.yaml:2:7: mode: want fast or exact, got "fats"; did you mean "fast"?
	// job.yaml:4:12: filters[0].clip: unknown key "high"; known: lo, hi
	// job.yaml:5:5: filters[1]: unknown filter "crop"; known: clip
	// line 1: ""
	// line 1: "rows"
	// line 2: "mode"
	// line 4: "filters[0].clip"
	// line 5: "filters[1]"
}

// Values can be overridden, as by --set on a command line, and variables come
// from the environment.
func ExampleParse_overrides() {
	var job Job
	_, err := spec.Parse("job.yaml", []byte("name: ${WHO}-${SUFFIX:1}\n"), &job, spec.Options{
		Set:       []string{"rows=8", "mode=exact"},
		LookupEnv: func(name string) (string, bool) { return "night", name == "WHO" },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.Name, job.Rows, job.Mode)
	// Output: night-1 8 exact
}

// Resolved is the file with its defaults filled in: what a run keeps, to be
// done again.
func ExampleDocument_Resolved() {
	var job Job
	d, err := spec.Parse("job.yaml", []byte("name: ${WHO:night}\nfilters: [clip]\n"), &job, spec.Options{Tables: []registry.Any{filters()}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(d.Resolved(&job)))
	// Output:
	// name: ${WHO:night}
	// rows: 64
	// mode: fast
	// filters:
	//   - clip: {lo: 0, hi: 1}
}

// Faults that a program finds later have places too.
func ExampleDocument_Errorf() {
	var job Job
	d, err := spec.Parse("job.yaml", []byte("name: night\nrows: 500\n"), &job, spec.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.Errorf("rows", "%d, the data have 120", job.Rows))
	fmt.Println(d.Given("rows"), d.Given("mode"))
	// Output:
	// job.yaml:2:7: rows: 500, the data have 120
	// true false
}

// The documentation of files and components follows from the tags.
func ExampleGuide_Explain() {
	g := spec.Guide{Root: Job{}, Tables: []registry.Any{filters()}}
	for _, name := range []string{"clip", "rows"} {
		text, err := g.Explain(name)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(text)
	}
	_, err := g.Explain("clep")
	fmt.Println(err)
	// Output:
	// clip (filter)
	//
	// Limits numbers.
	//
	// option  type    default  legal  meaning
	// lo      number  0        -      least result
	// hi      number  1        > 0    largest result
	//
	// Example:
	//
	//   clip
	// rows (integer)
	//
	// read at a time
	//
	// default  64
	// bounds   >= 1
	// unknown name "clep"; did you mean "clip"?
}

// Editors complete and check files by the JSON Schema that follows from the
// same tags.
func ExampleSchema() {
	schema := string(spec.Schema("Job", Job{}, filters()))
	for _, line := range strings.Split(schema, "\n") {
		if strings.Contains(line, `"title"`) || strings.Contains(line, `"fast"`) || strings.Contains(line, `"clip"`) {
			fmt.Println(strings.TrimSpace(line))
		}
	}
	// Output:
	// "clip"
	// "clip": {
	// "fast",
	// "default": "fast",
	// "title": "Job",
}

// One component from its name and options, as a command line gives them.
func ExampleParseComponent() {
	c, err := spec.ParseComponent("filter", "clip", []string{"hi=2.5"}, filters())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(registry.As[Filter](c).Apply(7))
	fmt.Print(string(spec.WriteComponent(c, filters())))
	_, err = spec.ParseComponent("filter", "clip", []string{"hi=-1"}, filters())
	fmt.Println(err)
	// Output:
	// 2.5
	// clip:
	//   lo: 0
	//   hi: 2.5
	// --set hi: clip.hi: must be > 0, got -1
}

// DecodeJSON reads the config of a plugin in Go by the same tags.
func ExampleDecodeJSON() {
	config := struct {
		Hidden []int   `yaml:"hidden" check:">= 1" doc:"widths"`
		Rate   float64 `yaml:"rate" check:"> 0" doc:"of learning"`
	}{Rate: .1}
	if err := spec.DecodeJSON([]byte(`{"hidden": [32, 16]}`), &config); err != nil {
		log.Fatal(err)
	}
	fmt.Println(config.Hidden, config.Rate)
	fmt.Println(spec.DecodeJSON([]byte(`{"hidden": [32, 0]}`), &config))
	// Output:
	// [32 16] 0.1
	// /hidden/1: must be >= 1, got 0
}

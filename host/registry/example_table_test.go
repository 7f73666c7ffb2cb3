package registry_test

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Filter is what the table of these examples holds: a component is a struct
// whose fields are its options.
type Filter interface{ Apply(x float64) float64 }

// Clip limits numbers.
type Clip struct {
	Lo float64 `yaml:"lo" doc:"least result"`
	Hi float64 `yaml:"hi" doc:"largest result"`
}

// Apply implements Filter.
func (c Clip) Apply(x float64) float64 { return min(max(x, c.Lo), c.Hi) }

// Validate checks what concerns more than one option.
func (c Clip) Validate() error {
	var faults registry.FieldErrors
	if c.Lo >= c.Hi {
		faults.Add("hi", "%v, want more than lo, which is %v", c.Hi, c.Lo)
	}
	return faults.Err()
}

// Scale multiplies numbers.
type Scale struct {
	By float64 `yaml:"by" doc:"factor" required:"true"`
}

// Apply implements Filter.
func (s Scale) Apply(x float64) float64 { return s.By * x }

func filters() registry.Table[Filter] {
	return registry.NewTable("filter",
		registry.Entry[Filter]{Name: "clip", Default: Clip{Lo: 0, Hi: 1}, Doc: "limits numbers"},
		registry.Entry[Filter]{Name: "scale", Default: Scale{By: 1}, Doc: "multiplies numbers"})
}

// A table lists components by name, with their defaults.
func ExampleNewTable() {
	t := filters()
	fmt.Println(t.Kind(), t.Names())
	for _, e := range t.Entries() {
		fmt.Printf("%s %s: %+v\n", e.Name, e.Doc, e.Default)
	}
	// Output:
	// filter [clip scale]
	// clip limits numbers: {Lo:0 Hi:1}
	// scale multiplies numbers: {By:1}
}

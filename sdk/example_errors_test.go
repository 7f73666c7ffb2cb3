package sdk_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// All faults of a config come back at once, each with its place as a JSON
// pointer.
func ExampleCheckConfig() {
	schema := []byte(`{
		"type": "object", "additionalProperties": false, "required": ["weights"],
		"properties": {"weights": {"type": "string"}, "threads": {"type": "integer", "minimum": 1}}}`)
	err := sdk.CheckConfig(schema, []byte(`{"threads": 0, "tread": 2}`))
	var faults sdk.Diagnostics
	if !errors.As(err, &faults) {
		log.Fatal(err)
	}
	for _, f := range faults {
		fmt.Printf("%q: %s\n", f.Pointer, f.Message)
	}
	// Output:
	// "": additional properties 'tread' not allowed
	// "": missing property 'weights'
	// "/threads": minimum: got 0, want 1
}

// Complaints of a Configure: the host finds the lines of the user's file that
// the pointers mean.
func ExampleDiagnostics() {
	err := error(sdk.Diagnostics{
		{Pointer: "/layers/2/units", Message: "128 units, the weights have 64"},
		{Pointer: "/weights", Message: "no such file"},
	})
	fmt.Println(err)
	fmt.Println(sdk.KindOf(err))
	// Output:
	// /layers/2/units: 128 units, the weights have 64; /weights: no such file
	// invalid argument
}

// What to do about an error goes by its kind, which wrapping keeps.
func ExampleKindOf() {
	for _, err := range []error{
		fmt.Errorf("batch 3: %w", sdk.ResourceExhausted),
		sdk.Errorf(sdk.FailedPrecondition, "no weights yet"),
		errors.New("index out of range"),
		nil,
	} {
		switch kind := sdk.KindOf(err); kind {
		case 0:
			fmt.Println("done")
		case sdk.ResourceExhausted:
			fmt.Println(kind, "- halve the batch and try again")
		default:
			fmt.Println(kind, "- give up")
		}
	}
	// Output:
	// resource exhausted - halve the batch and try again
	// failed precondition - give up
	// internal error - give up
	// done
}

// The outputs that a classifier offers have names and shapes.
func ExampleInfo_OutputShape() {
	info := sdk.Info{NumClasses: 10, Hidden: []sdk.HiddenLayer{{Name: "conv2d_1", Shape: tensor.Shape{7, 7, 64}}}}
	for _, name := range []string{sdk.Output, sdk.HiddenPrefix + "conv2d_1", sdk.HiddenPrefix + "conv2d_7"} {
		shape, err := info.OutputShape(name)
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		fmt.Println(name, shape)
	}
	// Output:
	// output 10
	// hidden/conv2d_1 7×7×64
	// error: unknown output "hidden/conv2d_7": this classifier has output, hidden/conv2d_1
}

package registry_test

import (
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Lookup gives the defaults of a name, ready to work, and for a name that
// nobody has an error that lists those there are.
func ExampleTable_Lookup() {
	f, err := filters().Lookup("clip")
	if err != nil {
		panic(err)
	}
	fmt.Println(f.Apply(1.5))
	_, err = filters().Lookup("clop")
	fmt.Println(err)
	// Output:
	// 1
	// unknown filter "clop"; known: clip, scale
}

// With extends a copy: a program of one's own has a component more, and the
// table that ships stays as it is.
func ExampleTable_With() {
	ships := filters()
	mine := ships.With(registry.Entry[Filter]{Name: "half", Default: Scale{By: .5}, Doc: "halves numbers"})
	fmt.Println(ships.Names(), mine.Names())
	// Output: [clip scale] [clip scale half]
}

// Validate hands all its faults to whoever reads the file, which adds the place
// of each key.
func ExampleFieldErrors() {
	err := Clip{Lo: 1, Hi: 0}.Validate()
	fmt.Println(err)
	var faults registry.FieldErrors
	if errors.As(err, &faults) {
		fmt.Println("at fault:", faults[0].Key)
	}
	fmt.Println(Clip{Lo: 0, Hi: 1}.Validate())
	// Output:
	// hi: 0, want more than lo, which is 1
	// at fault: hi
	// <nil>
}

// Exactly one of several keys is wanted.
func ExampleFieldErrors_OneOf() {
	for _, set := range [][]bool{{true, false, false}, {true, false, true}, {false, false, false}} {
		var faults registry.FieldErrors
		faults.OneOf([]string{"file", "folder", "dataset"}, set...)
		fmt.Println(faults.Err())
	}
	// Output:
	// <nil>
	// file, dataset exclude each other; want one of them
	// want one of file, folder, dataset
}

// As unpacks a component that a file named, as the type of its table.
func ExampleAs() {
	read := registry.Component{Kind: "filter", Name: "scale", Path: "filters[0].scale", Value: Scale{By: 3}}
	fmt.Println(registry.As[Filter](read).Apply(2))
	// Output: 6
}

// A slip of the keyboard is told from another word.
func ExampleNearest() {
	known := []string{"sepal_length", "sepal_width", "petal_length"}
	fmt.Printf("%q\n", registry.Nearest("Sepal lenght", known))
	fmt.Printf("%q\n", registry.Nearest("age", known))
	// Output:
	// "sepal_length"
	// ""
}

package datasets_test

import (
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/builtin/datasets"
	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/host/dataset"
)

// A set that is embedded, and its first rows of each class.
func ExampleTable() {
	iris, err := datasets.Table().Lookup("iris")
	if err != nil {
		log.Fatal(err)
	}
	d, err := iris.Load("")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.X.Shape, d.Classes)
	few, err := dataset.Open(dataset.Source{Dataset: "iris", Limit: 6}, "", datasets.Table(), formats.Table())
	if err != nil {
		log.Fatal(err)
	}
	var perClass [3]int
	for _, label := range few.Labels {
		perClass[label]++
	}
	fmt.Println(few.X.N(), "rows,", perClass, "of each class")
	// Output:
	// 150×4 [setosa versicolor virginica]
	// 6 rows, [2 2 2] of each class
}

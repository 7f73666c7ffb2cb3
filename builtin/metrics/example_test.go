package metrics_test

import (
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/builtin/metrics"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// One number a row: the errors of two reconstructions.
func ExampleTable() {
	s := &train.Step{X: tensor.From([]float32{0, 0, 1, 1}, 2, 2), Rebuilt: tensor.From([]float32{0, 1, 1, 1}, 2, 2)}
	for _, name := range []string{"mse", "mae"} {
		m, err := metrics.Table().Lookup(name)
		if err != nil {
			log.Fatal(err)
		}
		rows := make([]float64, s.N())
		m.Rows(rows, s, train.Setup{})
		fmt.Println(name, rows, "asks the classifier:", m.UsesClassifier())
	}
	// Output:
	// mse [0.5 0] asks the classifier: false
	// mae [0.5 0] asks the classifier: false
}

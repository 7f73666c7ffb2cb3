// Command gen writes the assembly of host/kernel with avo. Run it by go
// generate in host/kernel.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	part := flag.String("part", "", "which part")
	flag.Parse()
	parts := map[string]func(){"gemm": products, "pack": packs, "rows": rowMoves, "maps": maps, "reduce": reductions, "random": randoms, "double": doubles, "walk": walks, "half": halves}
	emit, ok := parts[*part]
	if !ok {
		log.Fatalf("unknown part %q", *part)
	}
	ConstraintExpr("amd64")
	emit()
	Generate()
	if err := spell(flag.Lookup("out").Value.String()); err != nil {
		log.Fatal(err)
	}
}

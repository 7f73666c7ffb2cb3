// Command vaeguard-beam scores rows in a pipeline of Apache Beam, shard by shard.
//
//	vaeguard-beam -detector first.vg -data 'in/*.parquet' -out verdicts -shards 64 [-runner prism|dataflow|flink|spark …]
//	vaeguard merge verdicts --out verdicts.parquet
//
// A run that was stopped goes on where it was. Further flags are those of Beam's runners.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"

	vaebeam "github.com/vaeguard/vaeguard/host/engines/beam"
)

func main() {
	vaebeam.ServeIfPlugin()
	var job vaebeam.Job
	flag.StringVar(&job.Detector, "detector", "", "detector: a folder, a run or a pack, as each worker sees it")
	flag.StringVar(&job.Data, "data", "", "rows to score: a file, a folder of images, or a pattern of files")
	flag.StringVar(&job.Out, "out", "", "folder of the results, shared by all workers")
	flag.IntVar(&job.Shards, "shards", 8, "number of parts")
	keep := flag.String("keep", "", "columns to hand through to the results, a,b")
	allow := flag.String("allow-command", "", "digests of commands that the detector may start, a,b")
	onError := flag.String("on-error", "fail", "on a bad row: fail, or skip it and report it")
	flag.Parse()
	beam.Init() // a worker stays here
	if *onError != "fail" && *onError != "skip" {
		fatal(fmt.Errorf("-on-error %q: want fail or skip", *onError))
	}
	job.Read.Keep, job.AllowCommand, job.Score.SkipBad = list(*keep), list(*allow), *onError == "skip"
	if err := job.Check(); err != nil {
		fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p, s := beam.NewPipelineWithRoot()
	vaebeam.Detect(s, job)
	if err := beamx.Run(ctx, p); err != nil {
		fatal(err)
	}
	fmt.Printf("%d shards are in %s; vaeguard merge makes one table of them\n", job.Shards, job.Out)
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "vaeguard-beam:", err)
	os.Exit(1)
}

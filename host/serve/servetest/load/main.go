// Load measures a server on this machine, which should have nothing else to do:
//
//	go build -o vaeguard ./host/cmd/vaeguard
//	go run ./host/serve/servetest/load -program ./vaeguard -detector runs/first
//
// It starts the server, asks it over HTTP in binary tensors, and prints Markdown: latency of one
// client; rows a second, latencies and rows a batch of many clients, and what a row costs of
// processor time (the server's and the plugin's) beside what it costs `vaeguard detect`; a steady
// load of 70 % (-share) for -steady (10m; 1h for the hour), with memory, goroutines and descriptors before and
// after; ten times what the server can do, and what becomes of it. On Linux alone: it reads
// /proc.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"
)

func main() {
	log.SetFlags(0)
	o := options{}
	flag.StringVar(&o.program, "program", "vaeguard", "the binary to measure")
	flag.StringVar(&o.detector, "detector", "", "the detector to serve: a folder, a run or a pack")
	flag.DurationVar(&o.phase, "phase", 20*time.Second, "of each throughput and of the overload")
	flag.DurationVar(&o.steady, "steady", 10*time.Minute, "of the steady load; 0s: none")
	flag.Float64Var(&o.share, "share", 0.7, "of the throughput that the steady load is")
	flag.StringVar(&o.with, "with", "", "what the program is started with, as 'taskset -c 1' where the generator has core 0")
	flag.Float64Var(&o.times, "times", 10, "of the throughput that the overload is; 0: there is none")
	flag.IntVar(&o.clients, "clients", 64, "that ask at once")
	flag.Parse()
	if o.detector == "" || flag.NArg() > 0 {
		log.Fatal("want -detector, and no arguments")
	}
	if !(o.share > 0 && o.share <= 1) {
		log.Fatalf("-share %v: want more than 0 and at most 1", o.share)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		stop()
		log.Fatal(err)
	}
}

type options struct {
	program, detector, with string
	phase, steady           time.Duration
	share, times            float64
	clients                 int
}

func run(ctx context.Context, o options) (err error) {
	s, err := serve(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		if bad := s.stop(); err == nil {
			err = bad
		}
	}()
	alone, err := engine(ctx, o, s.row)
	if err != nil {
		return err
	}
	fmt.Printf("A row costs `vaeguard detect` %.3g ms of processor time.\n\n", 1000*alone)
	fmt.Println("| load | rows/s | p50 ms | p99 ms | p99.9 ms | rows a batch | processor ms a row | of it the engine's |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	var quiet, most result
	for _, phase := range []struct {
		name          string
		clients, rows int
	}{{"one client", 1, 1}, {fmt.Sprintf("%d clients", o.clients), o.clients, 1}, {fmt.Sprintf("%d clients, 8 rows each", o.clients/8), max(1, o.clients/8), 8}} {
		r, err := s.closed(ctx, phase.clients, phase.rows, o.phase)
		if err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
		fmt.Printf("| %s | %.0f | %s | %s | %s | %.1f | %.3g | %.2f |\n", phase.name, r.rate, ms(r.at(.5)), ms(r.at(.99)), ms(r.at(.999)), r.batch, 1000*r.processor, alone/r.processor)
		if phase.clients == 1 {
			quiet = r
		} else if phase.rows == 1 {
			most = r
		}
	}
	if o.steady > 0 {
		before, err := s.gauges(ctx)
		if err != nil {
			return err
		}
		r, err := s.open(ctx, o.share*most.rate, o.steady, 0)
		if err != nil {
			return err
		}
		after, err := s.gauges(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("\n%v at %.0f %%, %.0f rows/s: p50 %s, p99 %s, p99.9 %s ms, %.1f times that of one client; %d of %d refused, %d failed; the generator was late by p50 %s, p99 %s ms.\n", o.steady, 100*o.share, o.share*most.rate,
			ms(r.at(.5)), ms(r.at(.99)), ms(r.at(.999)), r.at(.99).Seconds()/quiet.at(.99).Seconds(), len(r.refused), r.sent, r.failed, ms(quantile(r.late, .5)), ms(quantile(r.late, .99)))
		fmt.Printf("Memory %.0f MiB before, %.0f after; goroutines %.0f, %.0f; descriptors %.0f, %.0f.\n", before.memory/(1<<20), after.memory/(1<<20), before.goroutines, after.goroutines, before.files, after.files)
	}
	if o.times > 0 {
		return s.overload(ctx, o.times*most.rate, o.phase)
	}
	return nil
}

// overload sends more than the server can do, and prints what became of it.
func (s *server) overload(ctx context.Context, rate float64, d time.Duration) error {
	r, err := s.open(ctx, rate, d, time.Second)
	if err != nil {
		return err
	}
	quick, all, err := s.refusals(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\n%.0f rows/s for %v, with a second's time each: %d sent, %d accepted, p99 %s ms; %d refused, p50 %s, p90 %s, p99 %s ms; %d out of time; the generator had no room for %d, and was late by p50 %s, p99 %s ms.\n",
		rate, d, r.sent, len(r.took), ms(r.at(.99)), len(r.refused), ms(quantile(r.refused, .5)), ms(quantile(r.refused, .9)), ms(quantile(r.refused, .99)), r.failed, r.unsent, ms(quantile(r.late, .5)), ms(quantile(r.late, .99)))
	fmt.Printf("By the server's own clock %.0f were refused, %.2f %% of them within 5 ms of their headers.\n", all, 100*quick/max(1, all))
	after, err := s.closed(ctx, 1, 1, time.Second)
	if err != nil {
		return err
	}
	fmt.Printf("The second after it, one client: p50 %s, p99 %s ms.\n", ms(after.at(.5)), ms(after.at(.99)))
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

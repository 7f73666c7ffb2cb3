package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/traffic"

	attacks "github.com/vaeguard/vaeguard/host/attack"
)

// demoTraffic are the attacks and the drift of serve demo, in the place of those that
// the demo's report is about.
var demoTraffic = []string{
	"attacks=[{pgd: {norm: linf, eps: 0.1, steps: 10, step: 0.25}}, {square: {norm: linf, eps: 0.1}}]",
	"corruptions=[{brightness: {}}, {gaussian_noise: {}}, {pixelate: {}}]",
}

// The pace of serve demo: one round of its traffic takes a little over a minute.
const (
	demoRate  = 20
	demoPhase = 16 * time.Second
)

// demoModel is what clients of serve demo call the model.
const demoModel = "demo"

func (a *app) serveDemoCommand() *cobra.Command {
	var cache string
	var retrain bool
	var where listenFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Serve the detector of vaeguard demo, with traffic to look at",
		Long: "demo serves the detector of vaeguard demo and asks it: clean rows, an attack with the classifier's gradients among them, an attack\n" +
			"that asks the server again and again, and drift, in a loop. Its page shows what the server makes of them. The detector is\n" +
			"trained the first time, in under a minute, and kept in the user's cache. A detector of this name is served by: serve ./demo",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cache == "" {
				user, err := os.UserCacheDir()
				if err != nil {
					return fmt.Errorf("%w; --cache names a folder", err)
				}
				cache = filepath.Join(user, "vaeguard")
			}
			e, err := host.Load("demo", demoTraffic, a.c, a.options())
			if err != nil {
				return err
			}
			defer func() { _ = e.Close() }()
			dir := demoFolder(e, cache)
			s, err := serve.ForDetectors([]string{dir}, where.set(nil), a.c)
			if err != nil {
				return err
			}
			if err := trainDemo(cmd.Context(), e, cache, retrain, commandLine(cmd, args, notAgain)); err != nil {
				return err
			}
			return a.serve(cmd, s, nil, func(ctx context.Context, server *serve.Server, log hclog.Logger) error {
				return ask(ctx, e, server, log)
			}, a.showPage)
		},
	}
	where.add(c)
	c.Flags().StringVar(&cache, "cache", "", "folder that the trained detector is kept in (default: vaeguard in the user's cache)")
	c.Flags().BoolVar(&retrain, "retrain", false, "train the detector anew")
	return c
}

// demoFolder is where the demo's detector is kept: another for each spec and version.
func demoFolder(e *host.Experiment, cache string) string {
	key := sha256.Sum256(append(e.Spec.Resolved(), host.Version()...))
	return filepath.Join(cache, "serve-demo", hex.EncodeToString(key[:8]), demoModel)
}

// trainDemo trains the demo's detector, unless it is there. command goes on with it.
func trainDemo(ctx context.Context, e *host.Experiment, cache string, again bool, command string) error {
	dir := demoFolder(e, cache)
	if _, err := os.Stat(dir); err == nil && !again {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	_, err := os.Stat(dir + ".partial") // what an interrupted one has left
	d, err := e.TrainTo(ctx, host.TrainOptions{Out: dir, Resume: err == nil && !again, Force: again, Command: command})
	if err != nil {
		return err
	}
	return d.Close()
}

// showPage prints where the page is.
func (a *app) showPage(name string, at net.Addr) {
	a.listening(name, at)
	if name != "admin" || at.Network() == "unix" {
		return
	}
	page := "http://" + at.String() + "/"
	if a.json {
		_ = json.NewEncoder(a.stdout).Encode(map[string]string{"page": page})
		return
	}
	fmt.Fprintf(a.stdout, "page %s\n", page)
}

// ask sends the demo's traffic to a server once it is ready, until ctx is done.
func ask(ctx context.Context, e *host.Experiment, server *serve.Server, log hclog.Logger) error {
	rows, err := e.Rows(dataset.RoleTest)
	if err != nil {
		return err
	}
	o := traffic.Options{Models: server.Models(), Model: demoModel, Rows: rows, Rate: demoRate, Phase: demoPhase, Seed: e.Spec.Seed,
		Tell: func(phase string) { log.Info("traffic", "phase", phase) }}
	for _, c := range e.Spec.Attacks {
		o.Attacks = append(o.Attacks, traffic.Attack{Name: c.Name, Attack: registry.As[attacks.Attack](c)})
	}
	for _, c := range e.Spec.Corruptions {
		o.Corruptions = append(o.Corruptions, evaluate.NamedCorruption{Name: c.Name, Corruption: registry.As[evaluate.Corruption](c)})
	}
	for {
		if ready, _ := server.Ready(); ready {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := traffic.Run(ctx, o); err != nil {
		return errors.Join(errors.New("the traffic has ended"), err)
	}
	return nil
}

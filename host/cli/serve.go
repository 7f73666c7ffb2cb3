package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve"
)

func (a *app) serveCommand() *cobra.Command {
	var set []string
	var where listenFlags
	c := &cobra.Command{
		Use:   "serve SERVER|DETECTOR…",
		Short: "Serve guards over HTTP and gRPC",
		Long: "serve answers the Open Inference Protocol for the models of a file of kind Server, or for detectors, each called as its folder.\n" +
			"It prints where it listens, and serves until Ctrl-C or SIGTERM: then it takes nothing new, answers what is under way, and ends\n" +
			"with exit code 0. Changed detectors are taken into use, and with SIGHUP the file is read again: models, policies, limits. Keys of the file: vaeguard explain " + serve.Kind + ".",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if code, was := serve.AsInit(); was {
				os.Exit(code)
			}
			s, err := a.serverSpec(args, where.set(set))
			if err != nil {
				return err
			}
			again := func() (*serve.Spec, error) { return a.serverSpec(args, where.set(set)) }
			return a.serve(cmd, s, again, nil, a.listening)
		},
	}
	where.add(c)
	c.Flags().StringArrayVar(&set, "set", nil, "override a value: limits.deadline=2s")
	c.AddCommand(a.serveDemoCommand())
	return c
}

// processors is how many threads the arithmetic is to have. The server gets more than these to run on, so that who waits
// for a refusal or a health check does not wait for the arithmetic too: between threads the system decides, which
// wakes those that have little to do first. GOMAXPROCS in the environment is left as it is.
func (a *app) processors() int {
	const beside = 1 // to read, to refuse and to answer on
	threads := a.threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), threads+beside))
	}
	return threads
}

// serve runs a server, whose file again reads anew, until its command is to end, and beside it, unless nil, what
// asks it, which ends the server if it fails.
func (a *app) serve(cmd *cobra.Command, s *serve.Spec, again func() (*serve.Spec, error), beside func(context.Context, *serve.Server, hclog.Logger) error, listening func(string, net.Addr)) error {
	if err := a.stdout.open(); err != nil {
		return err
	}
	log := a.serverLogger(cmd.Flags().Changed("log-level"))
	threads := a.processors()
	server := serve.New(s, serve.Options{
		Components: a.c, Host: host.Options{Threads: threads, Logger: log}, Logger: log, Access: a.stderr, Listening: listening, Reread: again,
	})
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	reload := make(chan struct{})
	go func() {
		for {
			select {
			case <-hangUp:
			case <-ctx.Done():
				return
			}
			select {
			case reload <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	asked := make(chan error, 1)
	go func() {
		var err error
		if beside != nil {
			if err = beside(ctx, server, log); err != nil {
				cancel()
			}
		}
		asked <- err
	}()
	err := server.Run(ctx, reload)
	cancel()
	return errors.Join(err, <-asked)
}

// listenFlags are flags for where a server listens.
type listenFlags map[string]*string

// add adds them to a command.
func (f *listenFlags) add(c *cobra.Command) {
	*f = listenFlags{}
	for _, name := range listeners {
		(*f)[name] = c.Flags().String(name, "", "where "+name+" listens: HOST:PORT, unix:PATH or off, instead of what the file says")
	}
}

// set adds to overrides what the flags say.
func (f listenFlags) set(overrides []string) []string {
	for _, name := range listeners {
		if at := *f[name]; at == "off" {
			overrides = append(overrides, "listen."+name+`=""`)
		} else if at != "" {
			overrides = append(overrides, "listen."+name+"="+strconv.Quote(at))
		}
	}
	return overrides
}

// listeners are those that have a flag.
var listeners = [...]string{"http", "grpc", "admin"}

// serverSpec reads the one file, or makes the spec of detectors.
func (a *app) serverSpec(args, set []string) (*serve.Spec, error) {
	files := slices.ContainsFunc(args, func(arg string) bool { return slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(arg)) })
	switch {
	case files && len(args) > 1:
		return nil, usagef("serve takes one file of kind %s, or detectors", serve.Kind)
	case files:
		return serve.Load(args[0], set, a.c)
	}
	return serve.ForDetectors(args, set, a.c)
}

// serverLogger is logger for a process that runs for long: it tells more, and
// JSON where nobody looks at a terminal.
func (a *app) serverLogger(chosen bool) hclog.Logger {
	if !chosen {
		a.logLevel = "info"
	}
	if a.progress().terminal() {
		return a.logger()
	}
	level := hclog.LevelFromString(a.logLevel)
	if a.logLevel == "off" {
		level = hclog.Off
	}
	return hclog.New(&hclog.LoggerOptions{Name: "vaeguard", Level: level, Output: a.stderr, JSONFormat: true})
}

// listening prints where a listener is.
func (a *app) listening(name string, at net.Addr) {
	where := at.String()
	if at.Network() == "unix" {
		where = "unix:" + where
	}
	if a.json {
		_ = json.NewEncoder(a.stdout).Encode(map[string]string{"listener": name, "address": where})
		return
	}
	fmt.Fprintf(a.stdout, "%s %s\n", name, where)
}

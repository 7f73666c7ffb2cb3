package cli

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
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
	listen := map[string]*string{}
	c := &cobra.Command{
		Use:   "serve SERVER|DETECTOR…",
		Short: "Serve guards over HTTP and gRPC",
		Long: "serve answers the Open Inference Protocol for the models of a file of kind Server, or for detectors, each called as its folder.\n" +
			"It prints where it listens, and serves until Ctrl-C or SIGTERM: then it takes nothing new, answers what is under way, and ends\n" +
			"with exit code 0. SIGHUP, or changed files, replace models by their new versions. Keys of the file: vaeguard explain " + serve.Kind + ".",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if code, was := serve.AsInit(); was {
				os.Exit(code)
			}
			for _, name := range listeners {
				if at := *listen[name]; at == "off" {
					set = append(set, "listen."+name+`=""`)
				} else if at != "" {
					set = append(set, "listen."+name+"="+strconv.Quote(at))
				}
			}
			s, err := a.serverSpec(args, set)
			if err != nil {
				return err
			}
			if err := a.stdout.open(); err != nil {
				return err
			}
			log := a.serverLogger(cmd.Flags().Changed("log-level"))
			server := serve.New(s, serve.Options{
				Components: a.c, Host: host.Options{Threads: a.threads, Logger: log}, Logger: log, Access: a.stderr, Listening: a.listening,
			})
			hangUp := make(chan os.Signal, 1)
			signal.Notify(hangUp, syscall.SIGHUP)
			defer signal.Stop(hangUp)
			reload := make(chan struct{})
			go func() {
				for {
					select {
					case <-hangUp:
					case <-cmd.Context().Done():
						return
					}
					select {
					case reload <- struct{}{}:
					case <-cmd.Context().Done():
						return
					}
				}
			}()
			return server.Run(cmd.Context(), reload)
		},
	}
	for _, name := range listeners {
		listen[name] = c.Flags().String(name, "", "where "+name+" listens: HOST:PORT, unix:PATH or off, instead of what the file says")
	}
	c.Flags().StringArrayVar(&set, "set", nil, "override a value: limits.deadline=2s")
	return c
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

package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk"
)

// Shipped is a classifier inside this program, an entry of a table of the kind
// "classifier": a spec names it, and it runs as a plugin like any other.
type Shipped struct {
	// New is an unconfigured one.
	New func() sdk.Classifier
	// Train holds the defaults of classifier.train, a struct with the tags of
	// package registry, for explain; nil: it is not trained, or has no
	// documented options.
	Train any
	// Beside are the files that one which its config names refers to, such as
	// weights in files of their own: relative to its folder, with slashes. They
	// travel with it. nil: none refers to any.
	Beside func(file string) ([]string, error)
	// Env names variables of this program's environment that it is given besides
	// those that every plugin gets.
	Env []string
	// Needs says that it works confined, and what it must be able to do all the same. nil, or one that
	// needs the network: it is confined if the user wants it.
	Needs *Needs
	// Lent is the error where it stands for a model of the program that starts this
	// one, or of this program itself (Lend), and there is none; "": it stands for none.
	Lent string
}

// shippedEnv names the variable by which a host asks its own program to be a
// shipped plugin.
const shippedEnv = "VAEGUARD_SHIPPED_PLUGIN"

// supervisorEnv names the variable by which a host asks its own program to be the
// supervisor of a plugin.
const supervisorEnv = "VAEGUARD_SUPERVISOR"

// errNoHook is for programs that would fork themselves without end.
var errNoHook = errors.New("a shipped plugin runs as a subprocess of this program, which has not called builtin.ServeIfPlugin(): make that the first line of main, or of TestMain")

// linked holds the shipped plugins that this program can serve, from the moment
// that its hook has run: a fact about the process.
var linked atomic.Pointer[registry.Table[Shipped]]

// ServeIfPlugin is the hook of shipped plugins, the first line of main or of
// TestMain: if this process was started to be one of the table, it serves it
// and exits. Otherwise it only notes that Self works in this program, and that on Linux
// a plugin can have this program as its supervisor.
func ServeIfPlugin(table registry.Table[Shipped]) {
	superviseIfAsked()
	name, asked := os.LookupEnv(shippedEnv)
	if !asked {
		linked.Store(&table)
		return
	}
	_ = os.Unsetenv(shippedEnv) // a plugin's own children are not plugins
	made, err := table.Lookup(name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "this program has no shipped plugin %q; it has %s\n", name, strings.Join(sorted(table), ", "))
		os.Exit(1)
	}
	sdk.Serve(made.New())
	os.Exit(0)
}

// ShippedNames are the names that Self accepts in this program, sorted; none if
// its hook has not run.
func ShippedNames() []string {
	if p := linked.Load(); p != nil {
		return sorted(*p)
	}
	return nil
}

func sorted(table registry.Table[Shipped]) []string {
	return slices.Sorted(slices.Values(table.Names()))
}

// Self runs this very program as the shipped plugin of the given name.
func Self(name string) (Command, error) {
	p := linked.Load()
	if p == nil {
		return Command{}, &Error{Op: "start", Plugin: name, Err: errNoHook}
	}
	made, err := p.Lookup(name)
	if err != nil {
		return Command{}, &Error{Op: "start", Plugin: name, Err: fmt.Errorf("no such shipped plugin; there are %s", strings.Join(sorted(*p), ", "))}
	}
	exe, err := os.Executable()
	if err != nil {
		return Command{}, &Error{Op: "start", Plugin: name, Err: err}
	}
	c := Command{Name: name, Path: exe, Env: append([]string{shippedEnv + "=" + name}, made.Env...), self: true, needs: made.Needs}
	c.schema = func() []byte {
		if configurable, ok := made.New().(sdk.Configurable); ok {
			return configurable.Schema()
		}
		return nil
	}
	return c, nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "forgot" { // a program without the hook
		builtin.ServeIfPlugin()
	}
	testscript.Main(m, map[string]func(){
		"embed":    main,
		"vaeguard": func() { cli.Main(builtin.Components()) },
		"forgot": func() {
			if err := run(context.Background(), os.Args[1], os.Args[2], os.Stdout); err != nil {
				fmt.Fprintln(os.Stderr, "forgot:", err)
				os.Exit(1)
			}
		},
	})
}

func TestProgram(t *testing.T) {
	spec, err := os.ReadFile(filepath.Join("..", "quickstart", "guard.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata", Setup: func(e *testscript.Env) error {
		return os.WriteFile(filepath.Join(e.WorkDir, "guard.yaml"), spec, 0o666)
	}})
}

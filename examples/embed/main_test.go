package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

func TestMain(m *testing.M) {
	programs := map[string]func(){"embed": main, "forgot": forgot}
	if filepath.Base(os.Args[0]) == "forgot" {
		testscript.Main(m, programs)
	}
	clitest.Main(m, builtin.Components(), programs)
}

// forgot is main without its first line.
func forgot() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "forgot:", err)
		os.Exit(1)
	}
}

func TestProgram(t *testing.T) {
	clitest.Run(t, "testdata", []string{filepath.Join("..", "quickstart", "guard.yaml")}, nil)
}

package main

import (
	"os"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

// asProgram is the variable by which a test starts this test binary as the
// program itself: what runs is the code under test, race detector and all.
const asProgram = "VAEGUARD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	zooIfAsked()
	if _, ok := os.LookupEnv(asProgram); ok {
		if file := os.Getenv(peakName); file != "" {
			measured(file)
		}
		cli.Main(builtin.Components(), stuck())
	}
	clitest.Main(m, builtin.Components(), rogues())
}

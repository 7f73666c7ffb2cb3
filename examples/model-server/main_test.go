package main

import (
	"net/http/httptest"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

// TestMain makes the test binary the vaeguard of the scripts, and the plugins
// that it starts.
func TestMain(m *testing.M) { clitest.Main(m, builtin.Components(), nil) }

// TestProgram runs the page's commands against the server, and holds that it
// was asked.
func TestProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a classifier and two guards")
	}
	m, err := train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(guarded(m, "dG9rZW4"))
	t.Cleanup(func() { // the scripts run in parallel, and are done now
		s.Close()
		if m.Requests() == 0 || m.Rows() < 10000 {
			t.Errorf("the server was asked %d times, for %d rows", m.Requests(), m.Rows())
		}
	})
	clitest.Run(t, "testdata", []string{"guard.yaml", "model.yaml"}, func(e *testscript.Env) error {
		e.Setenv("MODEL_SERVER", s.URL)
		e.Setenv("MODEL_TOKEN", "dG9rZW4")
		return nil
	})
}

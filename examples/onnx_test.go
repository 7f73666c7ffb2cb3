package examples

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

// TestONNX guards a committed ONNX file, without Python.
func TestONNX(t *testing.T) {
	clitest.Run(t, "testdata/onnx", nil, func(e *testscript.Env) error {
		return os.CopyFS(e.WorkDir, os.DirFS("onnx"))
	})
}

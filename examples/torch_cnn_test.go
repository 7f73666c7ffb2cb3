package examples

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTorchCNN trains a residual network in PyTorch on Fashion-MNIST and
// guards it twice, through the Python SDK and through its ONNX export. With
// -v it prints how far answers, gradients and scores are apart, and what a
// training step takes.
func TestTorchCNN(t *testing.T) {
	if testing.Short() {
		t.Skip("trains three networks")
	}
	needFashion(t)
	runPython(t, "torch-cnn", "torch")
}

// needFashion skips a test where Debian's package of Fashion-MNIST is missing.
func needFashion(t *testing.T) {
	t.Helper()
	const folder = "/usr/share/datasets/fashion-mnist"
	if _, err := os.Stat(filepath.Join(folder, "train-images-idx3-ubyte.gz")); err != nil {
		if os.Getenv("VAEGUARD_PYTHON_TESTS") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no Fashion-MNIST in %s; VAEGUARD_PYTHON_TESTS=1 makes this a failure", folder)
	}
}

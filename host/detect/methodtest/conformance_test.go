package methodtest_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/host/detect/methodtest"
)

// TestConformance is the example of Run at work.
func TestConformance(t *testing.T) { methodtest.Run(t, Fade{Share: .9}, conformance) }

package sdk_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
)

// What KindOf says of an error errors.Is says too.
func TestKinds(t *testing.T) {
	for _, err := range []error{
		&sdk.Error{Kind: sdk.ResourceExhausted, Message: "no memory"},
		sdk.Unavailable,
		sdk.Diagnostics{{Pointer: "/width", Message: "must be > 0"}},
	} {
		wrapped := fmt.Errorf("configure: %w", err)
		if kind := sdk.KindOf(wrapped); !errors.Is(wrapped, kind) {
			t.Errorf("%v is of kind %v, and errors.Is does not say so", err, kind)
		}
		if errors.Is(wrapped, sdk.Internal) {
			t.Errorf("%v is of another kind too", err)
		}
	}
}

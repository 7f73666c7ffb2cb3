package remote_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// scaled is a Fake with a setting.
type scaled struct{ sdktest.Fake }

func (*scaled) Schema() []byte {
	return []byte(`{"type": "object", "properties": {"scale": {"type": "number", "exclusiveMinimum": 0}}}`)
}

func (s *scaled) Configure(_ context.Context, c sdk.Config) error {
	var config struct{ Scale float64 }
	if err := json.Unmarshal(c.JSON, &config); err != nil {
		return sdk.Diagnostics{{Message: err.Error()}}
	}
	s.Scale = config.Scale
	return nil
}

// What a plugin refuses comes back with its place in the config.
func ExampleClient_Configure() {
	client, stop := connect(&scaled{sdktest.Fake{Shape: tensor.Shape{3}, Classes: 2}})
	defer stop()
	err := client.Configure(context.Background(), sdk.Config{JSON: []byte(`{"scale": -1}`)})
	var faults sdk.Diagnostics
	if !errors.As(err, &faults) {
		log.Fatal(err)
	}
	for _, f := range faults {
		fmt.Println(f.Pointer, "-", f.Message)
	}
	// Output: /scale - exclusiveMinimum: got -1, want 0
}

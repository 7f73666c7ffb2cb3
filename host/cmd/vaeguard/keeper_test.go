package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// keeper is a classifier with a secret in its config, of which it tells
// whoever listens: its log, its diagnostics, its errors, its last words, and
// the config that its training ends with. It refuses to work if the secret
// comes by another way than its config, or does not come.
type keeper struct {
	flat
	Token   string `json:"token"`
	Tell    string `json:"tell"` // where it goes wrong: configure, predict, crash; "": nowhere
	Trained bool   `json:"trained"`
}

func (k *keeper) Schema() []byte {
	return []byte(`{"type": "object", "required": ["token"], "additionalProperties": false, "properties": {
		"token": {"type": "string", "secret": true}, "tell": {"type": "string"}, "trained": {"type": "boolean"}}}`)
}

func (k *keeper) Configure(_ context.Context, c sdk.Config) error {
	if err := json.Unmarshal(c.JSON, k); err != nil {
		return err
	}
	if k.Token != "hunter2-is-secret" {
		return fmt.Errorf("this is not the secret")
	}
	for _, way := range [][]string{os.Args, os.Environ()} {
		if strings.Contains(strings.Join(way, "\n"), k.Token) {
			return fmt.Errorf("the secret is among its arguments or in its environment")
		}
	}
	fmt.Fprintf(os.Stderr, "connecting with token %s\n", k.Token)
	if k.Tell == "configure" {
		return sdk.Diagnostics{{Pointer: "/token", Message: "the server does not know " + k.Token}}
	}
	return nil
}

func (k *keeper) Info(ctx context.Context) (sdk.Info, error) {
	i, err := k.flat.Info(ctx)
	i.Trainable, i.Ready = true, k.Trained
	return i, err
}

func (k *keeper) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	switch k.Tell {
	case "predict":
		return nil, sdk.Errorf(sdk.FailedPrecondition, "401 for token %s", k.Token)
	case "crash":
		fmt.Fprintf(os.Stderr, "token %s was revoked\n", k.Token)
		os.Exit(9)
	}
	return k.flat.Predict(ctx, x)
}

// Fit learns nothing, and ends with all of its config.
func (k *keeper) Fit(context.Context, sdk.TrainingData, sdk.FitOptions) (sdk.FitDone, error) {
	k.Trained = true
	config, err := json.Marshal(k)
	return sdk.FitDone{ConfigJSON: config, Digest: "flat"}, err
}

// picky is a classifier that fails on rows whose first feature is 0.5, and
// has no name for what is wrong with them.
type picky struct{ flat }

func (p picky) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	for n := range x.N() {
		if x.Row(n)[0] == 0.5 {
			return nil, fmt.Errorf("cannot digest it")
		}
	}
	return p.flat.Predict(ctx, x)
}

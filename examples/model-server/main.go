// Command model-server stands for the server that you have: it serves one
// model, digits, by the Open Inference Protocol, version 2. The model is a small
// network that it trains when it starts.
package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/vaeguard/vaeguard/builtin/classifiers/mlp"
	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/oiptest"
	"github.com/vaeguard/vaeguard/builtin/datasets"
	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen at")
	flag.Parse()
	if err := run(context.Background(), *listen, os.Getenv("MODEL_TOKEN")); err != nil {
		fmt.Fprintln(os.Stderr, "model-server:", err)
		os.Exit(1)
	}
}

// run trains the model and serves it until the end.
func run(ctx context.Context, listen, token string) error {
	m, err := train(ctx)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("serving the model %s at http://%s\n", m.Name, l.Addr())
	s := &http.Server{Handler: guarded(m, token), ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(l)
}

// train fits a network of one hidden layer to the training rows of digits.
func train(ctx context.Context) (m *oiptest.Model, err error) {
	rows, err := dataset.Open(dataset.Source{Dataset: "digits", Split: "train"}, "", datasets.Table(), formats.Table())
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "model-server")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := mlp.New()
	config := sdk.Config{JSON: []byte(`{"hidden": [64], "range": [0, 1]}`), InputShape: rows.X.Example(), Classes: len(rows.Classes), Seed: 42}
	if err := c.Configure(ctx, config); err != nil {
		return nil, err
	}
	options := sdk.FitOptions{JSON: []byte(`{"epochs": 30, "batch_size": 32}`), Seed: 42, OutputDir: dir, Progress: func(sdk.FitProgress) {}}
	if _, err := c.Fit(ctx, sdk.TrainingData{X: rows.X, Labels: rows.Labels}, options); err != nil {
		return nil, err
	}
	return &oiptest.Model{Name: "digits", Classifier: c, Input: "pixels", Output: "logits"}, nil
}

// guarded wants the token of every request; "" wants none.
func guarded(h http.Handler, token string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) == 0 {
			http.Error(w, "wrong token", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

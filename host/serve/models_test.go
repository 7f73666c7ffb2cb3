package serve_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// Who waits to load a model that the file no longer lists hears so.
func TestLoadOfAModelThatGoes(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "one"), 0)
	s := run(t, dir, listens+"models: [{name: a, detector: one}, {name: b, detector: one}]\n")
	loaded, err := s.Models().Loading(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, dir, listens+"models: [{name: a, detector: one}]\n")
	reloaded := make(chan error, 1)
	go func() { reloaded <- s.Reload(t.Context()) }()
	await(t, "the new file", func() bool { return len(s.Spec().Models) == 1 })
	time.Sleep(50 * time.Millisecond) // the reload waits for b: if not yet, the test only proves less
	loads := make(chan error, 3)
	for range cap(loads) {
		go func() { loads <- s.Models().Load(t.Context(), "b") }()
	}
	unloaded := make(chan error, 1)
	go func() { unloaded <- s.Models().Unload(t.Context(), "b") }()
	time.Sleep(50 * time.Millisecond) // likewise
	loaded()
	patience := time.After(time.Minute)
	for name, c := range map[string]<-chan error{"the reload": reloaded, "a load": loads, "another": loads, "a third": loads, "an unload": unloaded} {
		select {
		case err := <-c:
			var missing *judge.NotFoundError
			if err != nil && !errors.As(err, &missing) {
				t.Errorf("%s: %v", name, err)
			}
		case <-patience:
			t.Fatalf("%s waits for ever", name)
		}
	}
	if names := s.Models().List(); len(names) != 1 {
		t.Errorf("%+v", names)
	}
}

// A version that is being opened when the server stops is given up, and leaves nothing behind.
func TestStopsWhileAModelIsOpened(t *testing.T) {
	dir := t.TempDir()
	w := servetest.Train(t, components(), filepath.Join(dir, "one"), 0)
	s := run(t, dir, listens+"models: [{name: a, detector: one}]\n")
	w.Control(t, servetest.Hold)
	loaded := make(chan error, 1)
	go func() { loaded <- s.Models().Load(context.Background(), "a") }()
	await(t, "the load", func() bool { return s.Models().IsLoading("a") })
	time.Sleep(100 * time.Millisecond) // its classifier is asked by now: if not, the test only proves less
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	w.Control(t, servetest.Works)
	if err := <-loaded; err == nil {
		t.Error("a model was loaded by a server that has stopped")
	}
	if _, done, err := s.Models().Lease("a", ""); err == nil {
		done()
		t.Error("a server that has stopped has a model")
	}
	if n := strings.Count(s.log.String(), "a model is in use"); n != 1 {
		t.Errorf("%d versions were in use", n)
	}
	var away *judge.UnavailableError
	if err := s.Models().Load(t.Context(), "a"); !errors.As(err, &away) {
		t.Errorf("a load afterwards: %v", err)
	}
}

package launch_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// readManifest is host.ReadManifest in short.
func readManifest(text []byte) (m launch.Manifest, err error) {
	_, err = spec.Parse(launch.ManifestName, text, &m, spec.Options{Literal: true})
	return m, err
}

// installed is a folder of plugins with one in it.
func installed() (folder string, remove func()) {
	folder, err := os.MkdirTemp("", "plugins")
	if err != nil {
		log.Fatal(err)
	}
	manifest := "name: spam\nversion: 1.2.0\nsummary: Says whether a letter is spam.\ncommand: [./spam]\nfiles: [spam]\n"
	for name, text := range map[string]string{launch.ManifestName: manifest, "spam": "#!/bin/sh\n"} {
		path := filepath.Join(folder, "spam", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			log.Fatal(err)
		}
	}
	return folder, func() { _ = os.RemoveAll(folder) }
}

// Plugins are folders with a plugin.yaml. Nothing is started to read it.
func ExampleFinder_List() {
	folder, remove := installed()
	defer remove()
	f := launch.Finder{Dirs: []string{folder}, ReadManifest: readManifest}
	plugins, err := f.List()
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range plugins {
		if !p.Shipped { // not one of this very program
			fmt.Println(p.Name, p.Manifest.Version, "-", p.Manifest.Summary)
		}
	}
	_, err = f.Find("ham")
	fmt.Println("no ham:", err != nil)
	// Output:
	// spam 1.2.0 - Says whether a letter is spam.
	// no ham: true
}

// A lock beside a spec pins what a plugin's files are: a plugin that is another
// one by then is refused before anything of it runs.
func ExampleLock() {
	folder, remove := installed()
	defer remove()
	p, err := launch.Finder{Dirs: []string{folder}, ReadManifest: readManifest}.Find("spam")
	if err != nil {
		log.Fatal(err)
	}
	file := filepath.Join(folder, launch.LockName)
	lock, err := launch.ReadLock(file) // empty: there is none yet
	if err != nil {
		log.Fatal(err)
	}
	if err := lock.Set("spam", p.Command); err != nil {
		log.Fatal(err)
	}
	if err := lock.Write(file); err != nil {
		log.Fatal(err)
	}
	now, err := p.Command.Digest()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("as locked:", lock.Pin("spam") == now.SHA256)
	if err := os.WriteFile(filepath.Join(folder, "spam", "spam"), []byte("#!/bin/sh\nrm -r /\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	now, err = p.Command.Digest()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("as locked:", lock.Pin("spam") == now.SHA256)
	// Output:
	// as locked: true
	// as locked: false
}

// A section classifier names its model in one way.
func ExampleSection_Validate() {
	fmt.Println(launch.Section{Plugin: "cnn"}.Validate())
	fmt.Println(launch.Section{Plugin: "cnn", Command: []string{"python3", "model.py"}}.Validate())
	// Output:
	// <nil>
	// plugin, command exclude each other; want one of them
}

// What could not be found is an *Error that says what was being done.
func ExampleStart() {
	_, err := launch.Start(context.Background(), launch.Options{Command: launch.Command{Name: "spam", Path: "./no-such-plugin"}})
	var e *launch.Error
	if !errors.As(err, &e) {
		log.Fatal(err)
	}
	fmt.Println(e.Plugin, "failed at", e.Op)
	// Output: spam failed at start
}

// A classifier of the same process, in the host's order of an image's
// dimensions, whatever its own is.
func ExampleLocal() {
	ctx := context.Background()
	c, err := launch.Local(ctx, &sdktest.Fake{Shape: tensor.Shape{3, 8, 8}, Layout: sdk.NCHW, Classes: 10}, nil)
	if err != nil {
		log.Fatal(err)
	}
	y, err := c.Predict(ctx, tensor.New(2, 8, 8, 3))
	if err != nil {
		log.Fatal(err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.InputShape, info.Layout, "->", y.Shape)
	// Output: 8×8×3 nhwc -> 2×10
}

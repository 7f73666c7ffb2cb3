package launch

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vaeguard/vaeguard/host/atomicfile"
)

// LockName is the file, beside a spec, with the digests of its plugins.
const LockName = "vaeguard.lock"

// lockVersion is 2 since digests cover the command and its program.
const lockVersion = 2

// Lock pins plugins on every platform that was locked. Its file is JSON, and
// so also YAML.
type Lock struct {
	Version int `json:"version"`
	// Plugins maps the plugin, as the spec names it, and the platform
	// ("linux/amd64") to what it was there.
	Plugins map[string]map[string]Locked `json:"plugins"`
}

// Locked is one plugin on one platform.
type Locked struct {
	SHA256 string `json:"sha256"` // of Digest, lower-case hex
	Path   string `json:"path"`   // the executable or interpreter that was resolved; a record, not compared
}

// Platform is this one, as a Lock writes it.
func Platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// ReadLock reads a lock; a missing file is an empty one.
func ReadLock(name string) (*Lock, error) {
	l := &Lock{Version: lockVersion, Plugins: map[string]map[string]Locked{}}
	text, err := readSmall(name)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(l); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: unexpected data after its end", name)
	}
	if l.Version == 1 {
		return nil, fmt.Errorf("%s: version 1, whose digests leave out the command that runs: delete it and make it anew with vaeguard plugin lock", name)
	}
	if l.Version != lockVersion {
		return nil, fmt.Errorf("%s: version %d, want %d", name, l.Version, lockVersion)
	}
	for plugin, platforms := range l.Plugins {
		for platform, p := range platforms {
			if raw, err := hex.DecodeString(p.SHA256); err != nil || len(raw) != 32 {
				return nil, fmt.Errorf("%s: plugin %s on %s: %q is not a sha256", name, plugin, platform, p.SHA256)
			}
		}
	}
	return l, nil
}

// Set records what c is on this platform, and leaves the others.
func (l *Lock) Set(name string, c Command) error {
	d, err := c.Digest()
	if err != nil {
		return err
	}
	if l.Plugins == nil {
		l.Plugins = map[string]map[string]Locked{}
	}
	if l.Plugins[name] == nil {
		l.Plugins[name] = map[string]Locked{}
	}
	l.Plugins[name][Platform()] = Locked{SHA256: d.SHA256, Path: filepath.ToSlash(d.Path)}
	return nil
}

// Pin is the digest of a plugin on this platform, "" if it was not locked here.
func (l *Lock) Pin(name string) string { return l.Plugins[name][Platform()].SHA256 }

// Encode is the text of the file, the same for the same lock.
func (l *Lock) Encode() ([]byte, error) {
	whole := Lock{Version: lockVersion, Plugins: l.Plugins}
	text, err := json.MarshalIndent(whole, "", "  ") // maps are written in order
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// Write replaces the file; a reader sees the old one or the new one.
func (l *Lock) Write(name string) error {
	text, err := l.Encode()
	if err != nil {
		return err
	}
	return atomicfile.Write(name, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}

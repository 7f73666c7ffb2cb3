package onnx

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// external are the bytes read from files beside the model, for its digest, and
// the names of those files.
type external struct {
	sum   hash.Hash
	names map[string]int64 // bytes that are read of it
	bytes int64            // of all, each at most once
}

// Beside are the files that the model in file keeps tensors in, relative to its
// folder, with slashes, sorted: without them it cannot be loaded elsewhere.
func Beside(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m, err := parse(data, filepath.Dir(file), settings{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return slices.Sorted(maps.Keys(m.digest.names)), nil
}

// readExternal reads want bytes of a tensor that lies in a file of its own,
// which must be inside the model's folder.
func (m *model) readExternal(entries map[string]string, want int) ([]byte, error) {
	location := entries["location"]
	if m.dir == "" {
		return nil, errors.New("its data lie in another file, which cannot be read here")
	}
	name := filepath.FromSlash(location)
	if location == "" || !filepath.IsLocal(name) || strings.Contains(location, `\`) {
		return nil, fmt.Errorf("external data %q: want a path inside the model's folder", location)
	}
	offset := int64(0)
	for _, key := range []string{"offset", "length"} {
		text, ok := entries[key]
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v < 0 {
			return nil, fmt.Errorf("external data %q: %s %q, want a number", location, key, text)
		}
		if key == "offset" {
			offset = v
		} else if v != int64(want) {
			return nil, fmt.Errorf("external data %q: length %d, want %d", location, v, want)
		}
	}
	root, err := os.OpenRoot(m.dir) // symbolic links may not leave it either
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // only read from
	info, err := root.Stat(name)        // to open a pipe may take for ever
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size()-offset < int64(want) {
		return nil, fmt.Errorf("external data %q: want a file with %d bytes from byte %d on, it has %d", location, want, offset, info.Size())
	}
	if m.digest.sum == nil {
		m.digest.sum, m.digest.names = sha256.New(), map[string]int64{}
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	file := path.Clean(location)
	had := m.digest.names[file]
	m.digest.names[file] += int64(want)
	m.digest.bytes += min(info.Size(), had+int64(want)) - min(info.Size(), had)
	m.room.allowance = m.settings.allowanceOf(m.bytes + m.digest.bytes)
	b := fresh[byte](&m.room, want)
	if _, err := f.ReadAt(b, offset); err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	m.digest.sum.Write(b)
	return b, nil
}

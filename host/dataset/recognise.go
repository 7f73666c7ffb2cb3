package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// recognise finds the format of the file or folder at path: that of its
// extension, else that of its first bytes, or of a folder's marks.
func recognise(path string, formats registry.Table[Format]) (Format, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var f Format
	if info.IsDir() {
		f = folderFormat(path, formats)
	} else if f = byExtension(path, formats); f == nil {
		if f, err = byMagic(path, formats); err != nil {
			return nil, err
		}
	}
	if f == nil {
		return nil, fmt.Errorf("%s: unknown format, want %s", path, Words(formats, nil))
	}
	return f, nil
}

// byExtension is the first format that has the extension of path, nil if none
// has it.
func byExtension(path string, formats registry.Table[Format]) Format {
	ext := strings.ToLower(filepath.Ext(strings.TrimSuffix(path, ".gz")))
	for _, e := range formats.Entries() {
		if ext != "" && slices.Contains(e.Default.Traits().Extensions, ext) {
			return e.Default
		}
	}
	return nil
}

// folderFormat is the first format that a mark tells, else the first that has
// no marks.
func folderFormat(dir string, formats registry.Table[Format]) Format {
	var unmarked Format
	for _, e := range formats.Entries() {
		t := e.Default.Traits()
		if !t.Folder {
			continue
		}
		for _, mark := range t.Marks {
			if _, err := os.Stat(filepath.Join(dir, mark)); err == nil {
				return e.Default
			}
		}
		if t.Marks == nil && unmarked == nil {
			unmarked = e.Default
		}
	}
	return unmarked
}

// byMagic is the first format whose first bytes the file has: the plain ones
// for a format that streams, since gzip is undone for it.
func byMagic(path string, formats registry.Table[Format]) (Format, error) {
	f, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	raw, err := head(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	c, err := OpenContent(path)
	if err != nil {
		return nil, err
	}
	plain, cut := head(c)
	cut = errors.Join(cut, c.Close()) // a gzip may end early: the reader of it says where
	for _, e := range formats.Entries() {
		text := raw
		if _, ok := e.Default.(StreamFormat); ok {
			text = plain
		}
		for _, magic := range e.Default.Traits().Magic {
			if strings.HasPrefix(text, magic) {
				return e.Default, nil
			}
		}
	}
	if cut != nil {
		return nil, fmt.Errorf("%s: %w", path, cut)
	}
	return nil, nil
}

// head is the first bytes of r, fewer if it is shorter.
func head(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxMagic))
	return string(b), err
}

// splitKey parts FILE:KEY, where FILE has the extension of a format of several
// arrays.
func splitKey(path string, formats registry.Table[Format]) (file, key string) {
	at := -1 // of the colon
	for _, e := range formats.Entries() {
		t := e.Default.Traits()
		if !t.Arrays {
			continue
		}
		for _, ext := range t.Extensions {
			if i := strings.LastIndex(path, ext+":"); i >= 0 {
				at = max(at, i+len(ext))
			}
		}
	}
	if at < 0 {
		return path, ""
	}
	return path[:at], path[at+1:]
}

// Words names the formats for which has holds (nil: all), for errors and help:
// by their first extension, or else by their name: ".npy, .csv or idx".
func Words(formats registry.Table[Format], has func(Format) bool) string {
	var words []string
	for _, e := range formats.Entries() {
		if has != nil && !has(e.Default) {
			continue
		}
		word := e.Name
		if ext := e.Default.Traits().Extensions; len(ext) > 0 {
			word = ext[0]
		}
		words = append(words, word)
	}
	return alternatives(words)
}

// Extensions are those of all formats, in order.
func Extensions(formats registry.Table[Format]) []string {
	var out []string
	for _, e := range formats.Entries() {
		out = append(out, e.Default.Traits().Extensions...)
	}
	return out
}

// alternatives writes a, b or c.
func alternatives(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// DefaultFormat is the name of the format that standard input holds where none
// is named; empty if the table has none.
func DefaultFormat(formats registry.Table[Format]) string {
	for _, e := range formats.Entries() {
		if e.Default.Traits().Default {
			return e.Name
		}
	}
	return ""
}

// Streamed are the names of the formats that standard input can have.
func Streamed(formats registry.Table[Format]) []string {
	var names []string
	for _, e := range formats.Entries() {
		if _, ok := e.Default.(StreamFormat); ok {
			names = append(names, e.Name)
		}
	}
	return names
}

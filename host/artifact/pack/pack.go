// Package pack is the form in which a detector travels: a plain tar, or a
// folder, of
//
//	pack.json       what is in it: size, mode and sha256 of each file
//	detector/       the detector
//	…               what its classifier is made of
//
// The same files give the same bytes: names are sorted, times and owners zero.
// A pack comes from anybody. Nothing is written before its sizes are known, and
// nothing is used before its sha256 is; links, devices, names outside, and names
// that a file system may take for one are refused. What the files mean, package
// host knows.
package pack

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The names that a pack has.
const (
	ManifestName = "pack.json"
	Extension    = ".vg" // of the tar, by custom
)

// FormatVersion is the version of packs that this program writes and reads.
const FormatVersion = 1

// The bounds of a pack. What exceeds them is neither written nor read.
const (
	MaxBytes = 16 << 30 // of all files together
	MaxFiles = 20_000

	maxManifest = 16 << 20
	maxName     = 1024
	maxDepth    = 64
)

// Manifest is pack.json.
type Manifest struct {
	FormatVersion int      `json:"format_version"`
	Places        []Place  `json:"places"` // where the pack has what the detector names elsewhere
	Needs         []string `json:"needs"`  // what the machine must have, for people
	Files         []File   `json:"files"`  // all but this one, by name
}

// Place says that a key of the detector's section classifier names a file or a
// folder of the pack.
type Place struct {
	Key  string `json:"key"`  // path, config.model, command[1]
	Path string `json:"path"` // in the pack, with slashes
}

// File is one file.
type File struct {
	Name   string `json:"name"` // with slashes
	Size   int64  `json:"size"`
	Mode   string `json:"mode"`   // "0644", or "0755" for a program
	SHA256 string `json:"sha256"` // lower-case hex
}

const (
	plainMode   = "0644"
	programMode = "0755"
)

func (f File) perm() os.FileMode {
	if f.Mode == programMode {
		return 0o755
	}
	return 0o644
}

// Is reports whether path is a pack: a file that begins as one, or is named as
// one, or a folder with a manifest.
func Is(path string) bool {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return false
	case info.IsDir():
		_, err = os.Lstat(filepath.Join(path, ManifestName))
		return err == nil
	case !info.Mode().IsRegular():
		return false
	case filepath.Ext(path) == Extension:
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // only read from
	head := make([]byte, len(ManifestName)+1)
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == ManifestName+"\x00"
}

// Named reports whether a name to write to asks for a pack, and whether for a
// folder: X.vg is a tar, X/ a folder.
func Named(out string) (is, folder bool) {
	folder = out != "" && os.IsPathSeparator(out[len(out)-1])
	return folder || filepath.Ext(out) == Extension, folder
}

// encode is the bytes of pack.json.
func (m Manifest) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// parseManifest reads pack.json and checks all that it claims.
func parseManifest(b []byte) (Manifest, error) {
	var version struct {
		FormatVersion *int `json:"format_version"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", ManifestName, err)
	}
	if version.FormatVersion == nil || *version.FormatVersion != FormatVersion {
		got := "none"
		if version.FormatVersion != nil {
			got = fmt.Sprint(*version.FormatVersion)
		}
		return Manifest{}, fmt.Errorf("%s has format version %s, this program reads %d", ManifestName, got, FormatVersion)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("%s: %w", ManifestName, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, fmt.Errorf("%s: unexpected data after its end", ManifestName)
	}
	if err := m.check(); err != nil {
		return m, fmt.Errorf("%s: %w", ManifestName, err)
	}
	return m, nil
}

// check refuses a manifest whose files cannot, or must not, be written.
func (m Manifest) check() error {
	if len(m.Files) > MaxFiles {
		return fmt.Errorf("%d files, at most %d are allowed", len(m.Files), MaxFiles)
	}
	total := int64(0)
	names := newNames()
	for i, f := range m.Files {
		if err := names.add(f.Name); err != nil {
			return err
		}
		if i > 0 && m.Files[i-1].Name >= f.Name {
			return fmt.Errorf("file %q is out of order", f.Name)
		}
		if f.Mode != plainMode && f.Mode != programMode {
			return fmt.Errorf("file %q: mode %q, want %s or %s", f.Name, f.Mode, plainMode, programMode)
		}
		if raw, err := hex.DecodeString(f.SHA256); err != nil || len(raw) != 32 || f.SHA256 != strings.ToLower(f.SHA256) {
			return fmt.Errorf("file %q: %q is no sha256", f.Name, f.SHA256)
		}
		if f.Size < 0 || f.Size > MaxBytes-total {
			return fmt.Errorf("with file %q it has more than %d bytes, the most that is allowed", f.Name, int64(MaxBytes))
		}
		total += f.Size
	}
	for _, p := range m.Places {
		if p.Key == "" || strings.ContainsFunc(p.Key, func(r rune) bool { return r <= ' ' || r == '=' || r == 0x7f }) {
			return fmt.Errorf("%q is no key", p.Key)
		}
		if err := checkName(p.Path); err != nil {
			return err
		}
		if !slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == p.Path || strings.HasPrefix(f.Name, p.Path+"/") }) {
			return fmt.Errorf("%s is said to be %q, which is not in the pack", p.Key, p.Path)
		}
	}
	return nil
}

// names finds names that some file system cannot keep apart.
type names struct {
	files   map[string]string // as folded: as written
	folders map[string]string
}

func newNames() names {
	return names{files: map[string]string{fold(ManifestName): ManifestName}, folders: map[string]string{}}
}

// add takes the name of one more file.
func (n names) add(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	key := fold(name)
	if other, ok := n.files[key]; ok {
		if other == name {
			return fmt.Errorf("file %q is there twice", name)
		}
		return fmt.Errorf("files %q and %q differ only in case", other, name)
	}
	if _, ok := n.folders[key]; ok {
		return fmt.Errorf("%q is both a file and a folder", name)
	}
	n.files[key] = name
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		key := fold(dir)
		if _, ok := n.files[key]; ok {
			return fmt.Errorf("%q is both a file and a folder", dir)
		}
		if other, ok := n.folders[key]; ok && other != dir {
			return fmt.Errorf("folders %q and %q differ only in case", other, dir)
		}
		n.folders[key] = dir
	}
	return nil
}

// fold makes names alike that differ only in case.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// checkName refuses names that are not plainly below the pack's root, on any
// system.
func checkName(name string) error {
	bad := func(why string) error {
		if len(name) > 80 {
			name = name[:80] + "…"
		}
		return fmt.Errorf("file %q: %s", name, why)
	}
	switch {
	case name == "" || len(name) > maxName:
		return bad(fmt.Sprintf("want a name of 1 to %d bytes", maxName))
	case strings.ToValidUTF8(name, "") != name:
		return bad("the name is not UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`\:*?"<>|`, r) }):
		return bad("the name has a character that not every system allows")
	case path.IsAbs(name):
		return bad("the name is absolute")
	case path.Clean(name) != name || !filepath.IsLocal(filepath.FromSlash(name)):
		return bad("the name leaves the pack, or is not clean")
	case strings.Count(name, "/") >= maxDepth:
		return bad("the name has too many folders")
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") {
			return bad("a part of the name ends in a dot or a space")
		}
		stem, _, _ := strings.Cut(strings.ToLower(part), ".")
		if slices.Contains(reserved, stem) {
			return bad("a part of the name is a device on Windows")
		}
	}
	return nil
}

var reserved = []string{"con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
	"lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9"}

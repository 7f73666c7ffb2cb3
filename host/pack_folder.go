package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/launch"
)

// addFolder packs a folder, without what is no part of it: detectors, runs and
// packs that lie in it, and what is hidden or a cache. A link that stays in the
// folder becomes the file that it names.
func (b *bundle) addFolder(p part, name string) error {
	root, err := filepath.EvalSymlinks(p.file)
	if err != nil {
		return err
	}
	own, err := resolved(b.s.dir)
	if err != nil {
		return err
	}
	out, err := resolved(b.out)
	if err != nil {
		return err
	}
	b.place(p.key, name)
	var files int
	var size int64
	return filepath.WalkDir(root, func(file string, d os.DirEntry, err error) error {
		if err != nil || file == root {
			return err
		}
		if file == own || file == out || foreign(file, d) {
			rel, err := filepath.Rel(root, file)
			b.leftOut = append(b.leftOut, filepath.ToSlash(rel))
			if d.IsDir() && err == nil {
				return filepath.SkipDir
			}
			return err
		}
		if d.IsDir() {
			return nil
		}
		source := file
		if d.Type()&os.ModeSymlink != 0 {
			if source, err = filepath.EvalSymlinks(file); err != nil {
				return err
			}
			if rel, err := filepath.Rel(root, source); err != nil || !filepath.IsLocal(rel) {
				return fmt.Errorf("%s is a link out of the folder, and a pack has no links: put the file in its place", file)
			}
		}
		info, err := os.Stat(source)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a folder", file)
		}
		files, size = files+1, size+info.Size()
		if files > pack.MaxFiles || size > pack.MaxBytes {
			return fmt.Errorf("%s has more than %d files or %d bytes, the most that a pack may have", p.file, pack.MaxFiles, int64(pack.MaxBytes))
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		b.sources = append(b.sources, pack.Source{Name: name + "/" + filepath.ToSlash(rel), Path: source, Program: info.Mode()&0o111 != 0})
		return nil
	})
}

// foreign reports whether an entry of a plugin's folder is no part of the plugin.
func foreign(file string, d os.DirEntry) bool {
	name := d.Name()
	if strings.HasPrefix(name, ".") || name == "__pycache__" || name == launch.LockName {
		return true
	}
	if !d.IsDir() {
		return filepath.Ext(name) == pack.Extension
	}
	has := func(name string) bool { _, err := os.Lstat(filepath.Join(file, name)); return err == nil }
	return has(artifact.MetaFile) && has(artifact.SpecFile) || has("spec.yaml") && has("events.jsonl") || has(pack.ManifestName)
}

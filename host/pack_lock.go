package host

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/launch"
)

// lock pins the packed plugin: on this platform as it is now, and on others as
// the lock beside the spec did, if it still means the same files.
func (b *bundle) lock() error {
	model := b.e.Spec.Classifier.Model
	if len(b.places) == 0 || b.plugin.Shipped {
		return nil
	}
	now, err := b.plugin.Command.Digest()
	if err != nil {
		return err
	}
	words := slices.Clone(model.Command)
	for i := range words {
		if to, ok := b.places[fmt.Sprintf("command[%d]", i)]; ok {
			words[i] = to
		}
	}
	name, was := b.places["path"], model.Path+model.Plugin
	sum := now.SHA256
	if len(words) > 0 {
		name, was = strings.Join(words, " "), strings.Join(model.Command, " ")
		if sum, err = b.renamedDigest(words); err != nil {
			return err
		}
	}
	if name == "" {
		return nil // a program of the system: nothing of it is here
	}
	old, err := launch.ReadLock(filepath.Join(b.e.Spec.Abs("."), launch.LockName))
	if err != nil {
		return err
	}
	pins := map[string]launch.Locked{}
	if sum == now.SHA256 {
		for platform, l := range old.Plugins[was] {
			pins[platform] = launch.Locked{SHA256: l.SHA256, Path: path.Base(l.Path)}
		}
	}
	pins[launch.Platform()] = launch.Locked{SHA256: sum, Path: filepath.Base(now.Path)}
	text, err := (&launch.Lock{Plugins: map[string]map[string]launch.Locked{name: pins}}).Encode()
	if err != nil {
		return err
	}
	b.sources = append(b.sources, pack.Source{Name: launch.LockName, Data: text})
	return nil
}

// renamedDigest is the digest of a command whose words name files of the pack:
// their names are part of it.
func (b *bundle) renamedDigest(words []string) (string, error) {
	work, remove, err := launch.TempDir()
	if err != nil {
		return "", err
	}
	defer remove()
	for _, s := range b.sources {
		if !strings.HasPrefix(s.Name, packedCommand+"/") {
			continue
		}
		to := filepath.Join(work, filepath.FromSlash(s.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return "", err
		}
		if os.Link(s.Path, to) == nil {
			continue
		}
		if err := os.Symlink(s.Path, to); err != nil { // on another volume
			return "", err
		}
	}
	d, err := launch.Argv(words, work).Digest()
	return d.SHA256, err
}

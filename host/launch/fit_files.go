package launch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// maxFitted is how many bytes of files a Fit may leave.
const maxFitted = 16 << 30

// maxListed is how many entries of folders are read at once: a plugin may make more than
// memory holds.
const maxListed = 1000

// maxNested is how deep folders may lie in each other.
const maxNested = 64

// accept holds what a Fit has left in dir against what a detector can hold and against what
// the plugin lists: plain files, not too many or too large, and each that it
// lists there, once, with the digest that it gives. Sizes come first: a file of 200 GiB is not read.
// The plugin lives, and may change its files meanwhile: nothing outside dir is opened, nothing that
// blocks is waited for, and no more is read than maxFitted in all. It ends with ctx.
func accept(ctx context.Context, dir string, done sdk.FitDone) (err error) {
	if len(done.ConfigJSON) > 0 && !isObject(done.ConfigJSON) {
		return sdk.Errorf(sdk.Internal, "the config that it ends with is not a JSON object")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	w := &fitted{ctx: ctx, root: root}
	if err := w.walk(".", 0); err != nil {
		return err
	}
	listed := make(map[string]bool, len(done.Files))
	for _, f := range done.Files {
		name := filepath.FromSlash(f.Name)
		if !filepath.IsLocal(name) {
			return sdk.Errorf(sdk.Internal, "it lists %q, which is not in its folder", wire.Text(f.Name, wire.MaxName))
		}
		if name = filepath.Clean(name); listed[name] {
			return sdk.Errorf(sdk.Internal, "it lists %q twice", wire.Text(f.Name, wire.MaxName))
		}
		listed[name] = true
		if err := w.compare(name, f); err != nil {
			return err
		}
	}
	return nil
}

// isObject reports whether text is an object of JSON, without making anything of it.
func isObject(text []byte) bool {
	return json.Valid(text) && bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
}

// fitted is a look at what a Fit has left.
type fitted struct {
	ctx     context.Context
	root    *os.Root
	entries int   // that were seen, folders too
	size    int64 // of the files that were seen
	read    int64 // of those that were read
}

// walk looks at the entries of a folder, and of those in it.
func (w *fitted) walk(name string, depth int) error {
	if depth > maxNested {
		return sdk.Errorf(sdk.Internal, "it left folders nested more than %d deep", maxNested)
	}
	folders, err := w.list(name)
	if err != nil {
		return err
	}
	for _, at := range folders {
		if err := w.walk(at, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// list looks at the entries of a folder, and returns the folders among them.
func (w *fitted) list(name string) (folders []string, err error) {
	dir, err := openFitted(w.root, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	for {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		entries, err := dir.ReadDir(maxListed)
		for _, e := range entries {
			at := filepath.Join(name, e.Name())
			if w.entries++; w.entries > wire.MaxFiles {
				return nil, sdk.Errorf(sdk.Internal, "it left more than %d files and folders", wire.MaxFiles)
			}
			if e.IsDir() {
				folders = append(folders, at)
			} else if err := w.count(at); err != nil {
				return nil, err
			}
		}
		if errors.Is(err, io.EOF) {
			return folders, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// count looks at a file without opening it.
func (w *fitted) count(name string) error {
	info, err := w.root.Lstat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return sdk.Errorf(sdk.Internal, "it left %q, which is not a regular file", wire.Text(name, wire.MaxName))
	}
	if w.size += info.Size(); info.Size() > maxFitted || w.size > maxFitted {
		return sdk.Errorf(sdk.Internal, "it left %q: with it there are more than %d bytes, the most that a detector may have of its classifier", wire.Text(name, wire.MaxName), int64(maxFitted))
	}
	return nil
}

// compare reads a file and compares it with its entry in the list of what a Fit wrote.
func (w *fitted) compare(at string, f sdk.FitFile) (err error) {
	name := wire.Text(f.Name, wire.MaxName)
	file, err := openFitted(w.root, at)
	if err != nil {
		return sdk.Errorf(sdk.Internal, "it lists %q, which it has not written", name)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return sdk.Errorf(sdk.Internal, "it lists %q, which is not a regular file", name)
	}
	h := sha256.New()
	most := min(info.Size(), maxFitted-w.read)
	n, err := io.Copy(h, &io.LimitedReader{R: &stoppable{r: file, stop: w.ctx.Err}, N: most + 1})
	if w.read += n; err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n > most {
		return sdk.Errorf(sdk.Internal, "%q grows while it is read, after the Fit has ended", name)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if f.SHA256 != "" && !strings.EqualFold(sum, strings.TrimPrefix(f.SHA256, "sha256:")) {
		return sdk.Errorf(sdk.Internal, "it lists %q with the sha256 %s, and wrote %s", name, wire.Text(f.SHA256, 80), sum)
	}
	return nil
}

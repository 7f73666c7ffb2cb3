package launch

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// maxFitted is how many bytes of files a Fit may leave.
const maxFitted = 16 << 30

// accept holds what a Fit has left in dir against what a detector can hold and against what
// the plugin lists: plain files, not too many or too large, and each that it
// lists there, with the digest that it gives. Sizes come first: a file of 200 GiB is not read.
func accept(dir string, done sdk.FitDone) error {
	var config map[string]any
	if len(done.ConfigJSON) > 0 {
		if err := json.Unmarshal(done.ConfigJSON, &config); err != nil {
			return sdk.Errorf(sdk.Internal, "the config that it ends with is not a JSON object: %v", wire.Text(err.Error(), wire.MaxName))
		}
	}
	files, total := 0, int64(0)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return sdk.Errorf(sdk.Internal, "it left %q, which is not a regular file", wire.Text(name, wire.MaxName))
		}
		files++
		total += info.Size()
		if files > wire.MaxFiles {
			return sdk.Errorf(sdk.Internal, "it left more than %d files", wire.MaxFiles)
		}
		if info.Size() > maxFitted || total > maxFitted {
			return sdk.Errorf(sdk.Internal, "it left %q: with it there are more than %d bytes, the most that a detector may have of its classifier", wire.Text(name, wire.MaxName), int64(maxFitted))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range done.Files {
		if err := listed(dir, f); err != nil {
			return err
		}
	}
	return nil
}

// listed compares a file with its entry in the list of what a Fit wrote.
func listed(dir string, f sdk.FitFile) error {
	name := wire.Text(f.Name, wire.MaxName)
	if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
		return sdk.Errorf(sdk.Internal, "it lists %q, which is not in its folder", name)
	}
	file, err := os.Open(filepath.Join(dir, filepath.FromSlash(f.Name)))
	if err != nil {
		return sdk.Errorf(sdk.Internal, "it lists %q, which it has not written", name)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return sdk.Errorf(sdk.Internal, "it lists %q, which is not a regular file", name)
	}
	sum, err := digest(file)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if f.SHA256 != "" && !strings.EqualFold(sum, strings.TrimPrefix(f.SHA256, "sha256:")) {
		return sdk.Errorf(sdk.Internal, "it lists %q with the sha256 %s, and wrote %s", name, wire.Text(f.SHA256, 80), sum)
	}
	return nil
}

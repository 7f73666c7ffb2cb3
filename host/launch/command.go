package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/sdk/wire"
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
	// Files are covered by the digest besides the program and the arguments that
	// are files, relative to Dir.
	Files []string

	words    []string // program and arguments as they were written; nil: Path and Args
	manifest string   // sha256 of the text of plugin.yaml; "": there is none
	root     string   // folder that the command came in, whose place does not count; "": none
	self     bool     // this very program: Path is read through the kernel

	needs  *Needs        // what it declares for being confined; nil: nothing
	schema func() []byte // of its config, as far as it is known before the start; nil: it is not
}

// Digest is what a Command's pin is compared with.
type Digest struct {
	// SHA256 in lower-case hex: of the file itself where a Command is one program
	// and nothing else, otherwise of Covers.
	SHA256 string
	Path   string // absolute: the executable, or the interpreter of a command
	// Covers lists what the digest is taken over, a line each: the command, the
	// manifest, the program, the interpreter of a script and every file, each with
	// its sha256.
	Covers string
	// Alone reports whether the program is machine code, which loads no other
	// file as code unless it says so itself. A script or a command of an interpreter
	// may: what lies beside it counts, and Folder is where it lies.
	Alone  bool
	Folder string // absolute
}

// Digest resolves the command, reads its files and runs nothing.
func (c Command) Digest() (Digest, error) {
	v, err := c.verify(context.Background(), "")
	if err != nil {
		return Digest{}, err
	}
	v.close()
	return v.digest(), nil
}

// Line is the command as a person may read it, quoted.
func (c Command) Line() string { return quoteWords(c.written()) }

// written are the words of the command.
func (c Command) written() []string {
	words := c.words
	if words == nil {
		words = append([]string{c.Path}, c.Args...)
	}
	words = slices.Clone(words)
	for i := range words {
		words[i] = c.inside(words[i])
	}
	return words
}

// inside is a name without the folder that the command came in.
func (c Command) inside(name string) string {
	if c.root != "" && within(c.root, name) {
		if rel, err := filepath.Rel(c.root, name); err == nil {
			return filepath.ToSlash(rel)
		}
	}
	return name
}

// verified is a command that was resolved, read and compared with its pin.
type verified struct {
	Command
	file   string   // absolute path of the executable
	sum    string   // lower-case hex
	covers string   // what sum is taken over, unless it is one file's
	script bool     // the executable begins with #!
	beside bool     // it is no script, and loads what lies beside it, as far as its file says
	opened *os.File // the verified executable, to be run by descriptor; nil: by path
	run    string   // what is run in the place of file, a copy of it; "": file
	argv   []string // Args, with copies in the place of files; nil: Args
	env    []string // what else the process is given
	shadow *shadow  // private copies; nil: none
	size   int64    // of opened
	read   *covering
}

func (v *verified) close() {
	if v.opened != nil {
		_ = v.opened.Close()
	}
	v.shadow.remove()
}

func (v *verified) digest() Digest {
	folder := v.Dir
	if folder == "" {
		folder = filepath.Dir(v.file)
	}
	if abs, err := filepath.Abs(folder); err == nil {
		folder = abs
	}
	return Digest{SHA256: v.sum, Path: v.file, Covers: v.covers, Folder: folder, Alone: !v.script && !v.beside && v.own()}
}

// own reports whether the program is the plugin's, not an interpreter or another
// program of the system that is given files.
func (v *verified) own() bool {
	return len(v.Args) == 0 || v.Dir != "" && within(v.Dir, v.file) || v.root != "" && within(v.root, v.file)
}

// verify resolves c, hashes what its pin covers and compares. With a pin and
// private, a folder that nobody else may enter, what was hashed is what runs: a
// sealed copy. The caller closes the result.
func (c Command) verify(ctx context.Context, private string) (_ *verified, err error) {
	v := &verified{Command: c, read: newCovering(ctx)}
	if v.Name == "" {
		v.Name = filepath.Base(c.Path)
	}
	v.Name = wire.Text(v.Name, wire.MaxName) // it begins the lines of errors and logs
	v.file = c.Path
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	if err := v.resolve(); err != nil {
		return nil, v.fault("start", nil, err)
	}
	pin := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(c.SHA256), "sha256:"))
	if pin == "" {
		private = ""
	}
	if err := v.hash(private); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, v.fault("start", nil, err)
	}
	if pin == "" {
		return v, nil
	}
	if err := v.coversProgram(); err != nil {
		return nil, v.fault("pin", nil, err)
	}
	if pin != v.sum {
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
			return fmt.Errorf("%q is not in PATH", v.Path)
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
	if info, err := os.Stat(open); err == nil && info.IsDir() {
		return fmt.Errorf("%q is a folder; a plugin folder is named through its plugin.yaml", v.file)
	}
	f, info, err := openRegular(open)
	if err != nil {
		return err
	}
	v.opened, v.size = f, info.Size()
	if runtime.GOOS != "windows" && info.Mode()&0o111 == 0 {
		return fmt.Errorf("%q is not executable (mode %v)", v.file, info.Mode().Perm())
	}
	return nil
}

// at is a file of the command: relative ones start at Dir.
func (v *verified) at(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(v.Dir, filepath.FromSlash(name))
}

// within reports whether file lies below dir.
func within(dir, file string) bool {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(abs, file)
	return err == nil && filepath.IsLocal(rel)
}

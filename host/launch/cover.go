package launch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// coverVersion begins the text that a digest is taken over, so that one of
// another rule is another digest.
const coverVersion = "vaeguard plugin 2"

// maxCode is how many files of code may lie beside a script.
const maxCode = 4096

// pythonName are the interpreters whose search for modules is known: the
// folder of the script, or the working folder for -m and -c, comes first.
var pythonName = regexp.MustCompile(`^(python|pypy)[0-9.]*(\.exe)?$`)

// launchers start another program, which a digest would not see.
var launchers = []string{"env", "nice", "nohup", "setsid", "stdbuf", "sudo", "time", "timeout", "xargs"}

// hash fills in the digest, of copies in private unless that is "". It leaves
// v.opened only if that file can be run by its descriptor.
func (v *verified) hash(private string) error {
	line, err := firstLine(v.opened)
	if err != nil {
		return err
	}
	v.script = strings.HasPrefix(line, "#!")
	v.beside = !v.script && needsItsFolder(v.opened)
	if private != "" {
		v.shadow = newShadow(private)
	}
	var sum string
	switch {
	case v.shadow == nil || v.self || !v.own():
		sum, err = v.read.digest(v.opened, v.size)
	case v.script || v.beside || v.size > maxSealed:
		sum, err = v.copyProgram()
	default:
		sum, err = v.sealProgram()
	}
	if err != nil {
		return err
	}
	if v.script || v.run != "" || runtime.GOOS != "linux" {
		_ = v.opened.Close()
		v.opened = nil
	}
	if len(v.Args) == 0 && len(v.Files) == 0 && v.manifest == "" && !v.script {
		v.sum = sum
		return nil
	}
	return v.list(sum, line)
}

// list writes down what is covered, and hashes it.
func (v *verified) list(program, line string) error {
	var b strings.Builder
	words := v.written()
	if v.words == nil && len(v.Args) == 0 {
		words = []string{filepath.Base(v.file)} // a path may have moved
	}
	fmt.Fprintf(&b, "%s\ncommand %s\n", coverVersion, quoteWords(words))
	if v.manifest != "" {
		fmt.Fprintf(&b, "manifest %s\n", v.manifest)
	}
	fmt.Fprintf(&b, "program %s%s\n", program, v.outside())
	python := pythonName.MatchString(filepath.Base(v.file))
	if v.script {
		interpreter, err := v.interpreterOf(line)
		if err != nil {
			return err
		}
		sum, err := v.read.digestFile(interpreter)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "interpreter %s %s\n", sum, strconv.Quote(interpreter))
		python = python || pythonName.MatchString(filepath.Base(interpreter)) && v.own()
	}
	files, err := v.files(python)
	if err != nil {
		return err
	}
	v.argv = slices.Clone(v.Args)
	for _, name := range files {
		path := v.at(name)
		var sum, copied string
		if v.shadow != nil {
			copied, sum, err = v.shadow.copy(v.read, path)
		} else {
			sum, err = v.read.digestFile(path)
		}
		if err != nil {
			return err
		}
		for i, a := range v.argv {
			if copied != "" && v.at(a) == path {
				v.argv[i] = copied
			}
		}
		fmt.Fprintf(&b, "file %s %s\n", sum, strconv.Quote(filepath.ToSlash(v.inside(name))))
	}
	if python && v.shadow != nil {
		// Compiled modules beside the sources are believed by their time alone.
		v.env = append(v.env, "PYTHONPYCACHEPREFIX="+filepath.Join(v.shadow.root, ".cache"))
	}
	v.covers = b.String()
	all := sha256.Sum256([]byte(v.covers))
	v.sum = hex.EncodeToString(all[:])
	return nil
}

// outside is where a program of the system is: which one PATH finds is part of
// what runs. The plugin's own goes by what it is.
func (v *verified) outside() string {
	if v.own() {
		return ""
	}
	return " " + strconv.Quote(v.file)
}

// files are those that the digest covers besides the program, as the command
// names them: Files, the arguments that are files, and the modules that Python
// finds before all others. Sorted, each once.
func (v *verified) files(python bool) ([]string, error) {
	files := slices.Clone(v.Files)
	first := ""
	module := false
	for _, a := range v.Args {
		if info, err := os.Stat(v.at(a)); err == nil && info.Mode().IsRegular() {
			files = append(files, a)
			if first == "" {
				first = a
			}
		}
		module = module || first == "" && (a == "-m" || a == "-c" || strings.HasPrefix(a, "-m") || strings.HasPrefix(a, "-c"))
	}
	if python {
		folder := ""
		switch {
		case module:
		case first != "":
			folder = filepath.Dir(filepath.FromSlash(first))
		case v.own():
			folder = filepath.Dir(v.file)
		}
		if module || folder != "" {
			code, err := v.modules(folder)
			if err != nil {
				return nil, err
			}
			files = append(files, code...)
		}
	}
	for i := range files {
		files[i] = filepath.FromSlash(files[i])
		if v.root != "" && within(v.root, v.at(files[i])) {
			files[i] = filepath.Clean(v.at(files[i])) // listed once, whatever it was called
		}
		if v.own() && v.at(files[i]) == v.file {
			files[i] = "" // the program, which has its own line
		}
	}
	files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
	slices.Sort(files)
	return slices.Compact(files), nil
}

// modules are the files of Python in a folder, which is relative to Dir or
// absolute, and in the packages below it.
func (v *verified) modules(folder string) ([]string, error) {
	var found []string
	var walk func(name string) error
	walk = func(name string) error {
		entries, err := os.ReadDir(v.at(name))
		if err != nil {
			return err
		}
		for _, e := range entries {
			inner := filepath.Join(name, e.Name())
			info, err := os.Stat(v.at(inner)) // a link leads Python on too
			switch {
			case err != nil:
				continue
			case info.IsDir():
				if inits, err := filepath.Glob(filepath.Join(escapeGlob(v.at(inner)), "__init__.*")); err != nil || len(inits) == 0 || e.Type()&fs.ModeSymlink != 0 {
					continue
				}
				if err := walk(inner); err != nil {
					return err
				}
			case info.Mode().IsRegular() && slices.Contains([]string{".py", ".pyc", ".so", ".pyd"}, filepath.Ext(inner)):
				found = append(found, inner)
			}
			if len(found) > maxCode {
				return fmt.Errorf("more than %d modules of Python lie beside the plugin, in %q: put it into a folder of its own", maxCode, v.at(folder))
			}
		}
		return nil
	}
	return found, walk(folder)
}

// coversProgram refuses a pin of a command whose program nobody has hashed.
func (v *verified) coversProgram() error {
	base := strings.TrimSuffix(filepath.Base(v.file), ".exe")
	if !v.own() && slices.Contains(launchers, base) {
		return fmt.Errorf("the pin covers no program: %q starts another one; name that one as the command", base)
	}
	if !pythonName.MatchString(filepath.Base(v.file)) {
		return nil
	}
	for i, a := range v.Args {
		name, ok := strings.CutPrefix(a, "-m")
		switch {
		case !strings.HasPrefix(a, "-"):
			return nil
		case !ok || strings.HasPrefix(a, "--"):
			continue
		case name == "" && i+1 < len(v.Args):
			name = v.Args[i+1]
		}
		parts := strings.Split(name, ".")
		for _, file := range []string{parts[0] + ".py", parts[0]} {
			if _, err := os.Stat(v.at(file)); err == nil {
				return nil
			}
		}
		return fmt.Errorf("the pin covers no program: module %s is not in %s, the plugin's folder", strconv.Quote(name), v.digest().Folder)
	}
	return nil
}

// firstLine is the begin of a file, up to the end of its first line.
func firstLine(f *os.File) (string, error) {
	begin := make([]byte, 256)
	n, err := f.ReadAt(begin, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line, _, _ := strings.Cut(string(begin[:n]), "\n")
	return line, nil
}

// interpreterOf is the program that the first line of a script names, that
// which env finds if it is env.
func (v *verified) interpreterOf(line string) (string, error) {
	fields := strings.FieldsFunc(strings.TrimPrefix(line, "#!"), func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) == 0 {
		return "", errors.New("the #! of its first line names no program")
	}
	name := fields[0]
	if filepath.Base(name) == "env" {
		for _, f := range fields[1:] {
			if strings.HasPrefix(f, "-") || strings.Contains(f, "=") {
				continue
			}
			found, err := exec.LookPath(f)
			if err != nil {
				return "", fmt.Errorf("its first line names %q, which is not in PATH", f)
			}
			return filepath.Abs(found)
		}
	}
	if _, err := os.Stat(name); err != nil {
		hint := ""
		if strings.HasSuffix(line, "\r") {
			hint = ": the script has Windows line endings"
		}
		return "", fmt.Errorf("its first line names %q, which does not exist%s", name, hint)
	}
	return name, nil
}

func quoteWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return strings.Join(quoted, " ")
}

// Command image writes the server's image as an OCI layout, without a daemon: what the
// Dockerfile beside it says, from a program that is built already.
//
//	CGO_ENABLED=0 go build -trimpath -ldflags=-s -o vaeguard ./host/cmd/vaeguard
//	go run ./host/serve/deploy/image -program vaeguard -out image
//	skopeo copy oci:image:vaeguard docker://registry.example/vaeguard
//
// The same files give the same bytes. With -root it lays the files out in a folder
// besides, as a runtime does before it starts them.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func main() {
	program := flag.String("program", "", "the built program: for Linux, static")
	out := flag.String("out", "", "folder of the layout, which must not exist")
	root := flag.String("root", "", "folder to lay the files out in besides; it must not exist")
	name := flag.String("name", "vaeguard", "name of the image in the layout")
	notices := flag.String("licenses", ".", "folder of LICENSE and NOTICE")
	flag.Parse()
	err := errors.New("-program and -out are needed")
	if *program != "" && *out != "" && flag.NArg() == 0 {
		err = write(*program, *notices, *out, *root, *name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// file is one of the image's, or a folder where it has no data.
type file struct {
	path string // without a slash before
	mode int64
	data []byte
}

// user is who the program runs as: nobody that has a name.
const user = 65532

func write(program, notices, out, root, name string) error {
	files, arch, err := contents(program, notices)
	if err != nil {
		return err
	}
	if root != "" {
		if err := layOut(root, files); err != nil {
			return err
		}
	}
	packed, plain, err := layer(files)
	if err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	l := &layout{dir: out}
	index := l.image(arch, name, packed, plain)
	l.write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	l.write("index.json", encoded(index))
	return l.err
}

// contents are the image's files, sorted, and the program's architecture.
func contents(program, notices string) ([]file, string, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, "", err
	}
	arch, err := static(data)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", program, err)
	}
	files := []file{{"licenses", 0o755, nil}, {"mnt", 0o755, nil}, {"mnt/models", 0o755, nil}, {"tmp", 0o1777, nil}, {"vaeguard", 0o755, data}}
	for _, n := range []string{"LICENSE", "NOTICE"} {
		text, err := os.ReadFile(filepath.Join(notices, n))
		if err != nil {
			return nil, "", err
		}
		files = append(files, file{"licenses/" + n, 0o644, text})
	}
	slices.SortFunc(files, func(a, b file) int { return bytes.Compare([]byte(a.path), []byte(b.path)) })
	return files, arch, nil
}

// static is the architecture of a program for Linux that needs no other file.
func static(program []byte) (arch string, err error) {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return "", fmt.Errorf("no program for Linux: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", errors.New("it is linked dynamically: build with CGO_ENABLED=0")
		}
	}
	switch f.Machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	}
	return "", fmt.Errorf("a program for %v: want amd64 or arm64", f.Machine)
}

// layer is the files as a tar archive: compressed, and the digest of it plain.
func layer(files []file) (packed []byte, plain string, err error) {
	var out bytes.Buffer
	hash := sha256.New()
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(io.MultiWriter(z, hash))
	for _, f := range files {
		h := &tar.Header{Name: f.path, Mode: f.mode, Size: int64(len(f.data)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if f.data == nil {
			h.Typeflag, h.Name = tar.TypeDir, f.path+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, "", err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, "", err
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return nil, "", err
	}
	return out.Bytes(), fmt.Sprintf("sha256:%x", hash.Sum(nil)), nil
}

// layOut writes the files below a new folder.
func layOut(root string, files []file) error {
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		path, mode := filepath.Join(root, f.path), fs.FileMode(f.mode&0o777)
		var err error
		if f.data == nil {
			if f.mode&0o1000 != 0 {
				mode |= fs.ModeSticky
			}
			err = errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, mode))
		} else {
			err = os.WriteFile(path, f.data, mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func encoded(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("image: a description is not JSON: " + err.Error())
	}
	return b
}

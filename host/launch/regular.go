package launch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vaeguard/vaeguard/sdk/wire"
)

// maxCovered is the most bytes of all files together that one digest covers: a file may
// claim any size without having it.
const maxCovered = 64 << 30

// openRegular opens a file to read, and waits for nobody: a pipe, a device or a folder in
// its place is an error, and is not opened unless it takes that place at this moment.
func openRegular(name string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, plainPath(err)
	}
	if err := regular(name, info); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(name, os.O_RDONLY|openNow, 0)
	if err != nil {
		return nil, nil, plainPath(err)
	}
	if info, err = f.Stat(); err == nil {
		err = regular(name, info)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, plainPath(err)
	}
	return f, info, nil
}

// regular is the error of what is no file.
func regular(name string, info os.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	what := "neither a file nor a folder"
	switch {
	case info.IsDir():
		what = "a folder"
	case info.Mode()&os.ModeNamedPipe != 0:
		what = "a pipe"
	case info.Mode()&os.ModeDevice != 0:
		what = "a device"
	case info.Mode()&os.ModeSocket != 0:
		what = "a socket"
	}
	return fmt.Errorf("%q is %s, want a file", name, what)
}

// plainPath is an error of the system with its path as it may stand in a line: a detector
// names files, and a name may have any character.
func plainPath(err error) error {
	var p *os.PathError
	if !errors.As(err, &p) || wire.Plain(p.Path) {
		return err
	}
	return &os.PathError{Op: p.Op, Path: wire.Text(p.Path, wire.MaxText), Err: p.Err}
}

// covering bounds what is read for one digest.
type covering struct {
	stop func() error // why reading is to end; nil error: it is not
	left int64        // bytes that may still be read
}

func newCovering(ctx context.Context) *covering { return &covering{stop: ctx.Err, left: maxCovered} }

// copyDigest copies a regular file from its start, as long as it says that it is, to to (nil:
// to nowhere), and gives the sha256 of what it copied.
func (c *covering) copyDigest(to io.Writer, from *os.File, size int64) (string, error) {
	if size > c.left {
		return "", fmt.Errorf("reading %q: it has %d bytes, and at most %d of all files are read", from.Name(), size, int64(maxCovered))
	}
	c.left -= size
	h := sha256.New()
	out := io.Writer(h)
	if to != nil {
		out = io.MultiWriter(to, h)
	}
	if _, err := io.Copy(out, &stoppable{r: io.NewSectionReader(from, 0, size), stop: c.stop}); err != nil {
		return "", fmt.Errorf("reading %q: %w", from.Name(), plainPath(err))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// digest is the sha256 of such a file.
func (c *covering) digest(f *os.File, size int64) (string, error) { return c.copyDigest(nil, f, size) }

// digestFile is the sha256 of a file by its name.
func (c *covering) digestFile(name string) (_ string, err error) {
	f, info, err := openRegular(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return c.digest(f, info.Size())
}

// stoppable is a reader that ends when it is to.
type stoppable struct {
	r    io.Reader
	stop func() error
}

func (s *stoppable) Read(b []byte) (int, error) {
	if err := s.stop(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}

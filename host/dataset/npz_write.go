package dataset

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// WriteNPZ writes the arrays as a .npz, deflated, in one pass: beyond the
// arrays themselves it needs room for one buffer. Equal arguments give equal
// bytes. Names must be distinct and without slashes; the kinds of data are
// those of [WriteNPY].
func WriteNPZ(w io.Writer, arrays []Array) error { return writeNPZ(w, arrays, zip.Deflate) }

// WriteNPZStored is WriteNPZ without compression: for arrays of noise, and for
// readers that map them into memory.
func WriteNPZStored(w io.Writer, arrays []Array) error { return writeNPZ(w, arrays, zip.Store) }

// WriteNPZFile is WriteNPZ into a new file at path, an error if it exists.
func WriteNPZFile(path string, arrays []Array) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(WriteNPZ(f, arrays), f.Close())
}

func writeNPZ(w io.Writer, arrays []Array, method uint16) error {
	z := zip.NewWriter(w)
	seen := map[string]bool{}
	for _, a := range arrays {
		if a.Name == "" || strings.ContainsAny(a.Name, `/\`) || seen[a.Name] {
			return fmt.Errorf("npz: array name %q is empty, taken or has a slash", a.Name)
		}
		seen[a.Name] = true
		// No time stamp: the bytes depend on the arrays alone.
		e, err := z.CreateHeader(&zip.FileHeader{Name: a.Name + ".npy", Method: method})
		if err != nil {
			return fmt.Errorf("npz: %w", err)
		}
		if err := WriteNPY(e, a); err != nil {
			return fmt.Errorf("npz: array %s: %w", a.Name, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("npz: %w", err)
	}
	return nil
}

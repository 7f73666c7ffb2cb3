package atomicfile_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/atomicfile"
)

// A file is replaced whole. Where writing fails the old content stays, and
// nothing else is left behind.
func ExampleWrite() {
	dir, err := os.MkdirTemp("", "atomicfile")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "state.json")
	write := func(text string, fault error) error {
		return atomicfile.Write(path, func(f *os.File) error {
			if _, err := f.WriteString(text); err != nil {
				return err
			}
			return fault
		})
	}
	if err := write(`{"step": 1}`, nil); err != nil {
		log.Fatal(err)
	}
	full := errors.New("disk full")
	fmt.Println("second write failed:", errors.Is(write(`{"st`, full), full))
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text), len(files), "file")
	// Output:
	// second write failed: true
	// {"step": 1} 1 file
}

package spec

import (
	"fmt"
	"strings"
	"unicode"
)

// maxName bounds a name in bytes: with a number after it, it names a folder.
const maxName = 200

// CheckName is an error if a name cannot be that of a folder.
func CheckName(name string) error {
	switch {
	case name == "", name == ".", name == "..", strings.ContainsAny(name, `/\:`):
		return fmt.Errorf("%q cannot name a folder", name)
	case len(name) > maxName:
		return fmt.Errorf("%d bytes; a name has at most %d", len(name), maxName)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%q has characters that are not printed", name)
		}
	}
	return nil
}

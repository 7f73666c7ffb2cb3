package registry

import (
	"fmt"
	"strings"
)

// FieldError is a fault of one key, as Validate finds it: what reads a file
// adds the place.
type FieldError struct {
	Key     string // below what is validated: file, hidden_layers[2].name; "": all of it
	At      string // key whose place is shown, where it is not Key's own
	Message string
}

// Error writes key: message.
func (e FieldError) Error() string {
	if e.Key == "" {
		return e.Message
	}
	return e.Key + ": " + e.Message
}

// FieldErrors are all faults at once.
type FieldErrors []FieldError

// Add appends a fault of a key.
func (e *FieldErrors) Add(key, format string, args ...any) {
	*e = append(*e, FieldError{Key: key, Message: fmt.Sprintf(format, args...)})
}

// OneOf requires that exactly one of several keys is given; set says which are,
// in the order of names. Two of them are reported at the second.
func (e *FieldErrors) OneOf(names []string, set ...bool) {
	var have []string
	for i, n := range names {
		if set[i] {
			have = append(have, n)
		}
	}
	switch len(have) {
	case 0:
		e.Add("", "want one of %s", strings.Join(names, ", "))
	case 1:
	default:
		*e = append(*e, FieldError{At: have[1], Message: strings.Join(have, ", ") + " exclude each other; want one of them"})
	}
}

// Err is e as an error, nil if there is none.
func (e FieldErrors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Error writes one fault a line.
func (e FieldErrors) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

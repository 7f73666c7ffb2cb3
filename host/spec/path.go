package spec

import (
	"fmt"
	"strconv"
	"strings"
)

// pathStyle is how places in a tree are written.
type pathStyle int

const (
	dotted  pathStyle = iota // vae.encoder[2].conv2d
	pointer                  // /layers/2/conv2d, a JSON pointer
)

func (s pathStyle) key(path, name string) string {
	if s == pointer {
		return path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func (s pathStyle) index(path string, i int) string {
	if s == pointer {
		return path + "/" + strconv.Itoa(i)
	}
	return fmt.Sprintf("%s[%d]", path, i)
}

// step is one step of a dotted path: a key, or an index.
type step struct {
	key   string
	index int // -1 for a key
}

// steps takes a dotted path apart.
func steps(path string) ([]step, error) {
	var out []step
	for rest := path; rest != ""; {
		switch {
		case rest[0] == '[':
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, fmt.Errorf("path %q: missing ]", path)
			}
			i, err := strconv.Atoi(rest[1:end])
			if err != nil || i < 0 {
				return nil, fmt.Errorf("path %q: %q is not an index", path, rest[1:end])
			}
			out, rest = append(out, step{index: i}), rest[end+1:]
		default:
			if len(out) > 0 {
				if rest[0] != '.' {
					return nil, fmt.Errorf("path %q: want . or [ before %q", path, rest)
				}
				rest = rest[1:]
			}
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, fmt.Errorf("path %q: empty key", path)
			}
			out, rest = append(out, step{key: rest[:end], index: -1}), rest[end:]
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("empty path")
	}
	return out, nil
}

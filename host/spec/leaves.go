package spec

import (
	"fmt"
	"strconv"

	"gopkg.in/yaml.v3"
)

// Leaf is one value of a YAML document and where it stands: train.epochs, or
// attacks[0].pgd.eps.
type Leaf struct{ Path, Value string }

// Leaves are the values of a YAML document in the order of the text; an empty
// list or mapping is a value too. With two resolved specs they tell what differs.
func Leaves(text []byte) ([]Leaf, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("%d bytes; a file of this kind has at most %d", len(text), maxBytes)
	}
	doc, _, err := parseYAML(hideVariables(text))
	if err != nil {
		return nil, fmt.Errorf("YAML: %w", err)
	}
	if doc == nil {
		return nil, nil
	}
	return leaves(nil, "", doc), nil
}

func leaves(to []Leaf, at string, n *yaml.Node) []Leaf {
	switch {
	case len(at) > maxBytes/maxDepth: // a path as no spec has it
		return to
	case n.Kind == yaml.DocumentNode && len(n.Content) == 1:
		return leaves(to, at, n.Content[0])
	case n.Kind == yaml.AliasNode:
		return append(to, Leaf{at, "*" + n.Value}) // not followed: it may lead anywhere
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if at != "" {
				key = at + "." + key
			}
			to = leaves(to, key, n.Content[i+1])
		}
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		for i, e := range n.Content {
			to = leaves(to, at+"["+strconv.Itoa(i)+"]", e)
		}
	case n.Kind == yaml.MappingNode:
		to = append(to, Leaf{at, "{}"})
	case n.Kind == yaml.SequenceNode:
		to = append(to, Leaf{at, "[]"})
	case n.Kind == yaml.ScalarNode:
		to = append(to, Leaf{at, showVariables(n.Value)})
	}
	return to
}

package tensors

import (
	"encoding/json"
	"fmt"
	"strings"
)

// CheckMembers refuses JSON in which readers may see different things: an object with a member
// twice, also where only the case of its letters differs. A caller could show the guard
// other rows than the model server reads. What is no JSON is for others to refuse.
func CheckMembers(text []byte) error {
	var open []map[string]bool // the members of the objects around; nil for a list
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			open = append(open, map[string]bool{})
		case '[':
			open = append(open, nil)
		case '}', ']':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		case '"':
			start := i
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			end := min(i+1, len(text))
			next := end
			for next < len(text) && strings.IndexByte(" \t\r\n", text[next]) >= 0 {
				next++
			}
			if len(open) == 0 || open[len(open)-1] == nil || next == len(text) || text[next] != ':' {
				continue
			}
			var name string
			if json.Unmarshal(text[start:end], &name) != nil {
				return nil
			}
			members := open[len(open)-1]
			folded := strings.ToLower(strings.ToUpper(name)) // ſ is an s to some readers
			if members[folded] {
				return fmt.Errorf("member %s is there twice", Quote(name))
			}
			members[folded] = true
		}
	}
	return nil
}

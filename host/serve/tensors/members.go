package tensors

import (
	"encoding/json"
	"fmt"
	"strings"
)

// maxLevels is as deep as encoding/json reads.
const maxLevels = 10_000

// CheckMembers refuses JSON in which readers may see different things: an object with a member
// twice, also where only the case of its letters differs. A caller could show the guard
// other rows than the model server reads. So is JSON of more than 10,000 levels, or with an object of more than 16,384
// members, which no reader here takes. What is no JSON is for others to refuse.
func CheckMembers(text []byte) error {
	type level struct {
		object  bool
		members map[string]bool // nil: none yet
	}
	var open []level
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			if len(open) == maxLevels {
				return fmt.Errorf("the JSON has more than %d levels", maxLevels)
			}
			open = append(open, level{object: text[i] == '{'})
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
			if len(open) == 0 || !open[len(open)-1].object || next == len(text) || text[next] != ':' {
				continue
			}
			name, ok := plainText(text[start:end])
			if !ok && json.Unmarshal(text[start:end], &name) != nil {
				return nil
			}
			at := &open[len(open)-1]
			if at.members == nil {
				at.members = map[string]bool{}
			}
			folded := strings.ToLower(strings.ToUpper(name)) // ſ is an s to some readers
			if at.members[folded] {
				return fmt.Errorf("member %s is there twice", Quote(name))
			}
			if at.members[folded] = true; len(at.members) > maxTensors {
				return fmt.Errorf("an object has more than %d members", maxTensors)
			}
		}
	}
	return nil
}

// plainText is what is between the quotes of a string of JSON, if that is what it stands for.
func plainText(quoted []byte) (string, bool) {
	if len(quoted) < 2 || quoted[len(quoted)-1] != '"' {
		return "", false
	}
	inner := quoted[1 : len(quoted)-1]
	for _, c := range inner {
		if c < ' ' || c >= 0x7f || c == '\\' {
			return "", false
		}
	}
	return string(inner), true
}

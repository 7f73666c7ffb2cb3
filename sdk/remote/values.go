package remote

import "bytes"

// maxValues is how many values a document of JSON from a plugin may have: each takes
// memory of many times its bytes where it is read.
const maxValues = 1 << 18

// values is how many values a document of JSON has at most, without reading it.
func values(text []byte) int {
	n := 1
	for len(text) > 0 {
		i := bytes.IndexAny(text, `{[,"`)
		if i < 0 {
			break
		}
		c := text[i]
		text = text[i+1:]
		if c != '"' {
			n++
			continue
		}
		for { // over the string
			j := bytes.IndexAny(text, `"\`)
			if j < 0 {
				return n
			}
			end := text[j] == '"'
			text = text[min(j+1, len(text)):]
			if end {
				break
			}
			text = text[min(1, len(text)):] // what is escaped
		}
	}
	return n
}

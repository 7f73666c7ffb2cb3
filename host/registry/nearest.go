package registry

import "strings"

// Nearest is the known name that name is most likely a slip of, whatever its
// case, hyphens, underscores and spaces; empty if none is near.
func Nearest(name string, known []string) string {
	fold := strings.NewReplacer("-", "", "_", "", " ", "").Replace
	best, least := "", len(name)/3+1
	for _, k := range known {
		d := distance(strings.ToLower(fold(name)), strings.ToLower(fold(k)))
		if d < least {
			best, least = k, d
		}
	}
	if best != "" || len(name) < 3 {
		return best
	}
	for _, k := range known { // maxpool for max_pooling2d
		if strings.HasPrefix(strings.ToLower(fold(k)), strings.ToLower(fold(name))) {
			return k
		}
	}
	return ""
}

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours that make a of b.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	if len(s) > 64 || len(t) > 64 {
		return len(s) + len(t)
	}
	older, prev, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range s {
		row[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			row[j+1] = min(prev[j+1]+1, row[j]+1, prev[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
		older, prev, row = prev, row, older
	}
	return prev[len(t)]
}

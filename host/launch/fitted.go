package launch

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/sdk/secret"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// FitFile marks, in the folder of a Fit, that it is finished, and holds the
// config that it ended with, without its secrets.
const FitFile = "fit.json"

// WriteFit records a finished Fit in its folder.
func WriteFit(dir string, schema, config []byte) error {
	return atomicfile.Write(filepath.Join(dir, FitFile), func(f *os.File) error {
		_, err := f.Write(secret.Redact(schema, config))
		return err
	})
}

// ReadFit is the config that a Fit in dir ended with, its secrets taken from
// the one it was given. It is not ok if there is no finished Fit.
func ReadFit(dir string, given map[string]any) (config []byte, ok bool) {
	data, err := readWhole(filepath.Join(dir, FitFile), wire.MaxAnswer) // a plugin may write there
	var v any
	if err != nil || json.Unmarshal(data, &v) != nil {
		return nil, false
	}
	if !bytes.Contains(data, []byte(secret.Redacted)) {
		return data, true
	}
	data, err = json.Marshal(unredact(v, given))
	return data, err == nil
}

// unredact puts the values of from where v is redacted.
func unredact(v, from any) any {
	switch v := v.(type) {
	case string:
		if v == secret.Redacted && from != nil {
			return from
		}
	case map[string]any:
		m, _ := from.(map[string]any)
		for k, x := range v {
			v[k] = unredact(x, m[k])
		}
	case []any:
		list, _ := from.([]any)
		for i, x := range v {
			if i < len(list) {
				v[i] = unredact(x, list[i])
			}
		}
	}
	return v
}

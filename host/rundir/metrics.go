package rundir

import (
	"encoding/csv"
	"os"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/atomicfile"
)

// metricsFile is metrics.csv: one row per epoch, columns in order of name.
type metricsFile struct {
	path  string
	rows  []map[string]string
	ready bool
}

func (m *metricsFile) load() {
	m.ready = true
	f, err := os.Open(m.path)
	if err != nil {
		return
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil || len(records) == 0 {
		return
	}
	for _, r := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = r[i]
		}
		m.rows = append(m.rows, row)
	}
}

func (m *metricsFile) put(epoch int, values map[string]float64) error {
	if !m.ready {
		m.load()
	}
	key := strconv.Itoa(epoch)
	m.rows = slices.DeleteFunc(m.rows, func(r map[string]string) bool {
		n, err := strconv.Atoi(r["epoch"])
		return err != nil || n >= epoch
	})
	row := map[string]string{"epoch": key}
	for n, v := range values {
		row[n] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	m.rows = append(m.rows, row)
	names := []string{}
	for _, r := range m.rows {
		for n := range r {
			if n != "epoch" && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	names = append([]string{"epoch"}, names...)
	return atomicfile.Write(m.path, func(f *os.File) error {
		w := csv.NewWriter(f)
		if err := w.Write(names); err != nil {
			return err
		}
		for _, r := range m.rows {
			line := make([]string, len(names))
			for i, n := range names {
				line[i] = r[n]
			}
			if err := w.Write(line); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	})
}

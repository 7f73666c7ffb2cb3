package kernel

// opsOf is the level's table, or nil where the machine lacks it.
func opsOf(l Level) *ops {
	if l == Generic {
		return &genericOps
	}
	return nil
}

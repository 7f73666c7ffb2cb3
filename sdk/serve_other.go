//go:build !unix

package sdk

func stdoutToStderr() {}

func endGroup() {}

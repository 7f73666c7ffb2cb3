package cli

import (
	"os"

	"golang.org/x/sys/windows"
)

// terminalWidth is how many columns a console has.
func terminalWidth(f *os.File) int {
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info); err != nil || info.Window.Right < info.Window.Left {
		return defaultWidth
	}
	return int(info.Window.Right-info.Window.Left) + 1
}

package dead

import (
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
)

// bar is a progress bar on a terminal, and nothing elsewhere.
func (t *tool) bar(total int, what string) *progressbar.ProgressBar {
	if f, ok := t.errs.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return progressbar.NewOptions(total, progressbar.OptionSetDescription(what), progressbar.OptionSetWriter(f),
				progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
		}
	}
	return progressbar.DefaultSilent(int64(total))
}

// aboveBar prints lines in the bar's place, and the bar again below them.
type aboveBar struct {
	bar *progressbar.ProgressBar
	out io.Writer
}

func (a aboveBar) Write(p []byte) (int, error) {
	_ = a.bar.Clear() // at worst both are on one line
	return a.out.Write(p)
}

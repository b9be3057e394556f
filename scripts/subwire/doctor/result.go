package doctor

import (
	"errors"
	"fmt"
	"io"

	"subwire/scripts/internal/account"
	"subwire/scripts/internal/plain"
	"subwire/scripts/subwire/cli"
)

// The states of a check.
const (
	ok      = "ok"
	warning = "warning" // it works, but badly, or it is not known whether it works
	failed  = "error"   // it does not work
)

// result is what came of a check.
type result struct {
	Check string `json:"check"`
	State string `json:"state"`
	Says  string `json:"says"` // what was found; unless it is ok, with what to do
}

func fine(check, format string, args ...any) result {
	return result{check, ok, fmt.Sprintf(format, args...)}
}

func doubt(check, format string, args ...any) result {
	return result{check, warning, fmt.Sprintf(format, args...)}
}

func fault(check, format string, args ...any) result {
	return result{check, failed, fmt.Sprintf(format, args...)}
}

// unknown is for what AWS does not tell: a doctor need not be allowed to ask everything.
func unknown(check string, err error) result { return doubt(check, "not known: %v", err) }

// judged is the result of a check that returns nil, an account.DoubtError or another.
func judged(check, fineText string, err error) result {
	var d account.DoubtError
	switch {
	case err == nil:
		return fine(check, "%s", fineText)
	case errors.As(err, &d):
		return doubt(check, "%v", err)
	}
	return fault(check, "%v", err)
}

// report prints the results as they come, and returns an error if one is.
func report(out io.Writer, asJSON bool, checks ...func() []result) error {
	all, errs := 0, 0
	for _, check := range checks {
		for _, r := range check() {
			all++
			if r.State == failed {
				errs++
			}
			r.Says = plain.Lines(r.Says)
			var err error
			if asJSON {
				err = cli.PrintJSON(out, r)
			} else {
				_, err = fmt.Fprintf(out, "%-8s %s: %s\n", r.State, r.Check, r.Says)
			}
			if err != nil {
				return err
			}
		}
	}
	if errs > 0 {
		return fmt.Errorf("%d of %d checks found an error", errs, all)
	}
	return nil
}
